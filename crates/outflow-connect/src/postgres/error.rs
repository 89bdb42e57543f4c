//! What an error of Postgres means for who waits, and in which words it is told.

use deadpool_postgres::{HookError, TimeoutType};
use tokio_postgres::error::{DbError, SqlState};

use super::NAMES;
use crate::tls;
use outflow_core::fault::{Fault, FaultKind};
use outflow_core::words::plain_end;

const NO_PASSWORD: &str = "the server asks for a password and the address has none";
const ADD_IT: &str = "add it (postgres://user:PASSWORD@host/database, or a file of addresses, or \
    PGPASSWORD, or PGPASSFILE)";

/// What tokio-postgres says of a server that takes no writes.
pub(super) fn is_read_only(error: &tokio_postgres::Error) -> bool {
    use std::error::Error as _;
    let cause = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| {
        cause.kind() == std::io::ErrorKind::PermissionDenied
            && cause.to_string().contains("does not allow writes")
    })
}

/// What went wrong in words: the server's own message where there is one, not only "db error"; with
/// what to do where TLS is the matter.
pub fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(fault) = no_password(error) {
        return fault.to_string();
    }
    match explained(error) {
        Some((fault, said)) => format!("{fault} ({})", plain_end(&said)),
        None => in_words(error),
    }
}

fn in_words(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match (error.as_db_error(), error.source()) {
        (Some(error), _) => describe_db(error),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

/// That the address has no password and the server asks for one: tokio-postgres says so before it
/// answers the server, and not as an error of a type.
pub(super) fn no_password(error: &tokio_postgres::Error) -> Option<Fault> {
    use std::error::Error as _;
    let is_missing = is_misconfigured(error)
        && error.source().is_some_and(|source| source.to_string() == "password missing");
    is_missing.then(|| Fault::new(FaultKind::Refused, NO_PASSWORD).remedy(ADD_IT))
}

/// What it is if TLS is the matter, and what tokio-postgres says of it.
pub(super) fn explained(error: &tokio_postgres::Error) -> Option<(Fault, String)> {
    let may_be_tls = error
        .as_db_error()
        .is_none_or(|error| *error.code() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
    let said = in_words(error);
    tls::explain(&said, &NAMES).filter(|_| may_be_tls).map(|fault| (fault, said))
}

/// Whether the server cannot even be asked before the address is mended: it has no password and the
/// server wants one, or hosts and ports do not match.
fn is_misconfigured(error: &tokio_postgres::Error) -> bool {
    // The kind of an error is in its text only; pinned by a test against a server.
    error.as_db_error().is_none() && error.to_string().starts_with("invalid configuration")
}

/// Whether the server answered, and nothing changes until somebody mends it: a password is wrong or
/// missing, there is no such database or role, or a pooler does not know what it is asked for.
pub fn is_refused(error: &tokio_postgres::Error) -> bool {
    // 28: authorization, 3D: no such database, 08P01: what a pooler answers to parameters and names
    // that it does not know.
    let refused = |code: &str| code.starts_with("28") || code.starts_with("3D") || code == "08P01";
    error.code().is_some_and(|code| refused(code.code())) || is_misconfigured(error)
}

/// Whether TLS did not come about, or not as it was asked for: a certificate or a setting must be
/// mended.
pub fn is_insecure(error: &tokio_postgres::Error) -> bool {
    use std::error::Error as _;
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    error.as_db_error().is_none() && tls::explain(&source, &NAMES).is_some()
}

/// As [`is_refused`], for an error of a pool.
pub fn is_refused_by_pool(error: &deadpool_postgres::PoolError) -> bool {
    match error {
        deadpool_postgres::PoolError::Backend(error) => is_refused(error),
        _ => false,
    }
}

/// As [`describe`], for an error of a pool.
pub fn describe_pool(error: &deadpool_postgres::PoolError) -> String {
    match error {
        deadpool_postgres::PoolError::Backend(error)
        | deadpool_postgres::PoolError::PostCreateHook(HookError::Backend(error)) => {
            describe(error)
        }
        deadpool_postgres::PoolError::PostCreateHook(HookError::Message(reason)) => {
            reason.to_string()
        }
        deadpool_postgres::PoolError::Timeout(TimeoutType::Wait) => {
            "no connection was free in time".to_owned()
        }
        deadpool_postgres::PoolError::Timeout(TimeoutType::Create) => {
            "no answer in time to a new connection".to_owned()
        }
        deadpool_postgres::PoolError::Timeout(TimeoutType::Recycle) => {
            "no answer in time on a connection".to_owned()
        }
        other => other.to_string(),
    }
}

fn describe_db(error: &DbError) -> String {
    let code = error.code().code();
    match (error.detail(), error.hint()) {
        (Some(detail), _) => format!("{} ({detail}) [{code}]", error.message()),
        (None, Some(hint)) => format!("{} ({hint}) [{code}]", error.message()),
        (None, None) => format!("{} [{code}]", error.message()),
    }
}

/// Whether the fault lies with the server, the connection or other sessions rather than with the
/// statement: the same statement is worth trying again, for as long as it takes.
///
/// Decided by SQLSTATE: connection exceptions (08), insufficient resources (53), operator
/// intervention except a cancelled query (57P), a read-only server (25006), serialization failures,
/// deadlocks and lock timeouts.
pub fn is_outage(error: &tokio_postgres::Error) -> bool {
    use std::error::Error as _;
    let Some(code) = error.code() else {
        return error.is_closed()
            || error.source().is_some_and(<dyn std::error::Error + 'static>::is::<std::io::Error>);
    };
    let code = code.code();
    matches!(code, "25006" | "40001" | "40P01" | "55P03")
        || ["08", "53", "57P"].iter().any(|class| code.starts_with(class))
}
