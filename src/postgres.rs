//! Connections to Postgres with every limit set: what tokio-postgres and deadpool leave unlimited by default.

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::error::DbError;
use tokio_postgres::{Config, NoTls};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A dead host is noticed after idle + interval × retries = 25 s without an answer, unsent data after 15 s.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long to wait for a free connection of a pool.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// An address of Postgres that cannot be used. Holds no part of the address: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(String);

/// Parses a connection string and sets keepalives and timeouts where it has none.
///
/// # Errors
/// [`BadUrl`] says what is wrong, without repeating the address. An address that asks for TLS is refused rather than
/// connected in plain text.
pub fn config(url: &SecretString, application_name: &str) -> Result<Config, BadUrl> {
    const EXPECTED: &str = "expected postgres://user[:password]@host[:port]/database";
    let text = url.expose_secret();
    if text.contains("sslmode=verify-ca") || text.contains("sslmode=verify-full") {
        return Err(BadUrl(format!("TLS to Postgres is not supported by this version; {EXPECTED}")));
    }
    let mut config: Config = text.parse().map_err(|_hidden| BadUrl(EXPECTED.to_owned()))?;
    if config.get_hosts().is_empty() {
        return Err(BadUrl(EXPECTED.to_owned()));
    }
    if config.get_ssl_mode() == SslMode::Require {
        return Err(BadUrl(format!("TLS to Postgres is not supported by this version; {EXPECTED}")));
    }
    config.ssl_mode(SslMode::Disable);
    config.connect_timeout(CONNECT_TIMEOUT);
    config.keepalives_idle(KEEPALIVE_IDLE);
    config.keepalives_interval(KEEPALIVE_INTERVAL);
    config.keepalives_retries(KEEPALIVE_RETRIES);
    config.tcp_user_timeout(TCP_USER_TIMEOUT);
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    if config.get_application_name().is_none() {
        config.application_name(application_name);
    }
    Ok(config)
}

/// A pool of `size` connections, each of which runs `session` (one or more `set` statements) when it is opened.
/// Connects when first used.
pub fn pool(config: Config, size: usize, session: &'static str) -> Pool {
    let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let prepare = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
        Box::pin(async move { client.batch_execute(session).await.map_err(HookError::Backend) })
    });
    Pool::builder(manager)
        .max_size(size)
        .runtime(deadpool_postgres::Runtime::Tokio1)
        .wait_timeout(Some(WAIT_TIMEOUT))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .recycle_timeout(Some(CONNECT_TIMEOUT))
        .post_create(prepare)
        .build()
        .expect("a runtime is given, so that the timeouts are allowed")
}

/// What went wrong in words: the server's own message where there is one, not only "db error".
pub fn describe(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match error.as_db_error() {
        Some(error) => describe_db(error),
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// As [`describe`], for an error of a pool.
pub fn describe_pool(error: &deadpool_postgres::PoolError) -> String {
    match error {
        deadpool_postgres::PoolError::Backend(error)
        | deadpool_postgres::PoolError::PostCreateHook(HookError::Backend(error)) => describe(error),
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

/// Whether the fault lies with the server, the connection or other sessions rather than with the statement: the same
/// statement is worth trying again, for as long as it takes.
///
/// Decided by SQLSTATE: connection exceptions (08), insufficient resources (53), operator intervention except a
/// cancelled query (57P), a read-only server (25006), serialization failures, deadlocks and lock timeouts.
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
