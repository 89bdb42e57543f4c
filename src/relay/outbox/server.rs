//! Which Postgres this is: one that was restored or has failed over is another one.

use tokio_postgres::Error;

use super::session::Session;
use crate::relay::kept::healing;

/// The timeline, as an expression. A server that is in recovery refuses it.
pub(super) const TIMELINE: &str =
    "left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8)";
const SYSTEM: &str = "(select system_identifier from pg_catalog.pg_control_system())::text";

/// A server and its timeline.
#[derive(Debug, Clone, Default)]
pub(super) struct Server {
    /// Its system identifier.
    pub(super) system: String,
    /// Its timeline, in hexadecimal digits.
    pub(super) timeline: String,
}

impl Server {
    /// As journals have it.
    pub(super) fn in_words(&self) -> String {
        healing::server(&self.system, &self.timeline)
    }

    /// Asks the server; everybody may.
    pub(super) async fn of(client: &Session) -> Result<Self, Error> {
        let here = format!("select {SYSTEM}, {TIMELINE}");
        let row = client.query_one(&here, &[]).await?;
        let text = |at: usize| row.get::<_, Option<String>>(at).unwrap_or_default();
        Ok(Self { system: text(0), timeline: text(1) })
    }
}
