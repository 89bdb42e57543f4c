//! Both servers together, and what every user of them asks: a session, a client, a number.

use outflow_connect::redis;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use super::{Error, Postgres, PostgresOptions, Redis};

/// A private Postgres and a private Redis with a directory of their own. The fields are dropped in
/// their order: the directory goes when nobody uses it.
#[derive(Debug)]
pub struct Servers {
    /// The Postgres server.
    pub postgres: Postgres,
    /// The Redis server.
    pub redis: Redis,
    /// Their files, and those of the programs over them.
    pub dir: TempDir,
}

impl Servers {
    /// Starts both at the same time, with their defaults.
    ///
    /// # Errors
    /// As [`Postgres::start`] and [`Redis::start`].
    pub async fn start() -> Result<Self, Error> {
        Self::start_with("outflow-", PostgresOptions::default(), &[]).await
    }

    /// As [`Servers::start`], with options; `prefix` begins the name of the directory.
    ///
    /// # Errors
    /// As [`Postgres::start`] and [`Redis::start`].
    pub async fn start_with(
        prefix: &str,
        options: PostgresOptions,
        redis_args: &[&str],
    ) -> Result<Self, Error> {
        let dir = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir()
            .map_err(Error::io("creating a directory in", &std::env::temp_dir()))?;
        let (postgres, redis) = tokio::try_join!(
            Postgres::start_with(dir.path(), options),
            Redis::start(dir.path(), redis_args)
        )?;
        Ok(Self { postgres, redis, dir })
    }
}

/// A session of Postgres; its connection ends with it.
///
/// # Errors
/// If the server does not answer, or refuses.
pub async fn session(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    #[expect(clippy::disallowed_methods, reason = "ends with the client")]
    tokio::spawn(connection);
    Ok(client)
}

/// The first column of the first row, as a number.
///
/// # Errors
/// If the server refuses the query.
pub async fn number(client: &Client, query: &str) -> Result<i64, tokio_postgres::Error> {
    Ok(client.query_one(&format!("select ({query})::bigint"), &[]).await?.get(0))
}

/// A client of the Redis at this address, which connects when it is used.
///
/// # Panics
/// If it is no address: those of private servers are.
#[must_use]
pub fn redis_client(url: &str, name: &'static str) -> redis::Redis {
    match redis::Redis::open(&SecretString::from(url), name) {
        Ok(client) => client,
        Err(error) => panic!("the address of a private server: {error}"),
    }
}
