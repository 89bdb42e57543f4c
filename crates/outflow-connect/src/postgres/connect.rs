//! One session outside of a pool, and why there is none.

use std::time::Duration;

use tokio_postgres::Client;

use super::{Server, describe, is_insecure, is_refused, takes_no_writes};

/// How long a session may take to begin, with TLS and password, once there is a connection.
const SESSION_LIMIT: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// The server answered, and nothing changes until somebody mends it: wrong password, no such
    /// database.
    Refused(String),
    /// The server answered, and takes no writes: a standby, or a database that is read-only for
    /// this role.
    ReadOnly(String),
    /// TLS did not come about, or not as it was asked for.
    Insecure(String),
    /// Nobody answered, or the server is starting up.
    Unreachable(String),
}

impl ConnectError {
    /// The reason.
    pub fn reason(&self) -> &str {
        match self {
            Self::Refused(reason)
            | Self::ReadOnly(reason)
            | Self::Insecure(reason)
            | Self::Unreachable(reason) => reason,
        }
    }
}

/// One connection for a look at the catalog or a migration. When the client is dropped, the server
/// is still told which statements are no longer needed: through a transaction pooler, the session
/// belongs to an application next.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(server: &Server) -> Result<Client, ConnectError> {
    // tokio-postgres's own limit ends with the TCP connection: somebody who takes it and says
    // nothing would be waited for.
    let limit = server.connect_timeout() + SESSION_LIMIT;
    let (client, connection) = match tokio::time::timeout(limit, server.connect()).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return Err(why(server, &error).await),
        Err(_elapsed) => {
            let seconds = limit.as_secs();
            return Err(ConnectError::Unreachable(format!(
                "{}: no answer for {seconds} s",
                server.place()
            )));
        }
    };
    #[expect(clippy::disallowed_methods, reason = "ends with the client, after a good-bye")]
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

async fn why(server: &Server, error: &tokio_postgres::Error) -> ConnectError {
    let reason = format!("{}: {}", server.place(), describe(error));
    if is_refused(error) {
        ConnectError::Refused(format!("postgres.url: {reason}"))
    } else if let Some(cause) = takes_no_writes(server, error).await {
        ConnectError::ReadOnly(format!("postgres.url: {}: {cause}", server.place()))
    } else if is_insecure(error) {
        ConnectError::Insecure(reason)
    } else {
        ConnectError::Unreachable(reason)
    }
}
