//! One session outside of a pool, and why there is none.

use std::time::Duration;

use tokio_postgres::Client;

use super::error::{explained, no_password};
use super::fault::not_answered;
use super::{Server, describe, is_refused, takes_no_writes};
use outflow_core::fault::{Fault, FaultKind};
use outflow_core::words::plain_end;

/// How long a session may take to begin, with TLS and password, once there is a connection.
const SESSION_LIMIT: Duration = Duration::from_secs(5);
/// `idle_session_timeout`, which ends a frozen relay's session, is new in 14.
const VERSION_MIN: u32 = 14;

/// One connection for a look at the catalog or a migration. When the client is dropped, the server
/// is still told which statements are no longer needed: through a transaction pooler, the session
/// belongs to an application next.
///
/// # Errors
/// A [`Fault`] that comes from the [`tokio_postgres::Error`], if there is one. Its kind is
///
/// * `Refused`: the server answered, and nothing changes until somebody mends it: a wrong password,
///   an unknown database.
/// * `ReadOnly`: the server answered, and takes no writes: a standby, or a database that is
///   read-only for this role.
/// * `Insecure`: TLS did not come about, or not as it was asked for.
/// * `Unfit`: the server is older than Postgres 14.
/// * `Unavailable`, `NotReady`: the server answered, and gives no session now.
/// * `Unreachable`: nobody answered.
pub async fn connect(server: &Server) -> Result<Client, Fault> {
    let limit = server.connect_timeout() + SESSION_LIMIT;
    let (client, connection) = match tokio::time::timeout(limit, server.connect()).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return Err(why(server, error).await),
        Err(_elapsed) => {
            let seconds = limit.as_secs();
            let what = format!("{}: no answer for {seconds} s", server.place());
            return Err(Fault::unreachable(what));
        }
    };
    if let Some(fault) = connection.parameter("server_version").and_then(too_old) {
        return Err(fault.at(server.place()));
    }
    #[expect(clippy::disallowed_methods, reason = "ends with the client, after a good-bye")]
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

async fn why(server: &Server, error: tokio_postgres::Error) -> Fault {
    let fault = if is_refused(&error) {
        let refused = no_password(&error);
        refused.unwrap_or_else(|| Fault::new(FaultKind::Refused, describe(&error)))
    } else if let Some((what, remedy)) = takes_no_writes(server, &error).await {
        Fault::new(FaultKind::ReadOnly, what).remedy(remedy)
    } else if let Some((fault, said)) = explained(&error) {
        let what = format!("{} ({})", fault.what(), plain_end(&said));
        let remedy = fault.to_do().unwrap_or_default();
        return Fault::new(fault.kind(), what).remedy(remedy).at(server.place()).because(error);
    } else {
        return not_answered(error).at(server.place());
    };
    fault.at(server.place()).at(server.key()).because(error)
}

/// What a server says of itself when a session begins, such as `13.23 (Debian 13.23-1)`. Only its
/// numbers are repeated. Of a version that cannot be read nothing is said.
fn too_old(version: &str) -> Option<Fault> {
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    let numbers = &version[..end];
    let major: u32 = numbers.split('.').next()?.parse().ok()?;
    (major < VERSION_MIN).then(|| {
        Fault::new(FaultKind::Unfit, format!("this server is Postgres {numbers}"))
            .remedy(format!("Outflow needs Postgres {VERSION_MIN} or later: upgrade the server"))
    })
}

#[cfg(test)]
mod tests {
    use super::too_old;

    #[test]
    fn a_version_before_14_is_named() {
        for (version, expected) in [
            ("9.6.24", Some("this server is Postgres 9.6.24; Outflow needs Postgres 14 or later")),
            ("13.23 (Debian 13.23-1)", Some("Postgres 13.23; Outflow needs Postgres 14 or later")),
            ("14.0", None),
            ("14beta1", None),
            ("18.4", None),
            ("", None),
            ("bouncer", None),
        ] {
            let found = too_old(version).map(|fault| fault.to_string());
            match expected {
                Some(words) => assert!(found.is_some_and(|text| text.contains(words)), "{version}"),
                None => assert_eq!(found, None, "{version}"),
            }
        }
    }
}
