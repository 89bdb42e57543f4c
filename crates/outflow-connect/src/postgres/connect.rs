//! One session outside of a pool, and why there is none.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;

use outflow_core::task;

use super::{Server, describe, is_insecure, is_refused, takes_no_writes};

/// How long a session may take to begin, with TLS and password, once there is a connection.
const SESSION_LIMIT: Duration = Duration::from_secs(5);

/// A client with the task that drives its connection: both end together.
#[derive(Debug)]
pub struct Session {
    client: Client,
    _driver: AbortOnDropHandle<()>,
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

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

/// One connection for a look at the catalog or a migration.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(server: &Server) -> Result<Session, ConnectError> {
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
    let driver = task::owned(async move { drop(connection.await) });
    Ok(Session { client, _driver: driver })
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
