//! Which Postgres this is: one that was restored or has failed over is another one.

use deadpool_postgres::Object;
use tokio_postgres::Error;

/// A server that is in recovery refuses it.
const HERE: &str = "select \
    (select system_identifier from pg_catalog.pg_control_system())::text, \
    left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8)";

/// A server and its timeline.
#[derive(Debug, Clone, Default)]
pub(super) struct Server {
    /// Its system identifier.
    pub(super) system: String,
    /// Its timeline, in hexadecimal digits.
    pub(super) timeline: String,
}

impl Server {
    /// Asks the server; everybody may.
    pub(super) async fn of(client: &Object) -> Result<Self, Error> {
        let row = client.query_typed_one(HERE, &[]).await?;
        let text = |at: usize| row.get::<_, Option<String>>(at).unwrap_or_default();
        Ok(Self { system: text(0), timeline: text(1) })
    }
}
