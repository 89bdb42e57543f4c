//! The copy of a member's position in Postgres: for people, for retention, and for the day on which
//! the journal is gone.

use super::super::lease::Lease;
use super::super::refusal::{failed, within};
use super::super::server::TIMELINE;
use super::KeptOutbox;
use crate::relay::event::Acknowledged;
use crate::relay::outbox::OutboxError;

/// Durable when it is confirmed to the journal: a copy that is missing later shows that Postgres
/// went back. Not for a generation that is over; and not in a Postgres that has come back in an
/// older state, which may know this generation: the position is not of that one, and the copy that
/// it has is what the next recovery goes on from.
const COPY: &str = "update outflow.position set batch = $4, pieces = $5, \
    copied_at = pg_catalog.clock_timestamp() \
    where relation = $1::oid and generation = $2 and member = $3 and batch <= $4 and ";

impl KeptOutbox {
    /// Copies what the journal is known to have.
    pub(super) async fn copy(&self, seen: Acknowledged) -> Result<(), OutboxError> {
        let pieces = self.shared.reading(|reading| reading.confirmed.to_string());
        if pieces.is_empty() {
            return Ok(());
        }
        let write = async {
            let client = Lease::new(self.base.connection().await?);
            let copy = format!("{COPY}{TIMELINE} = $6");
            let batch = i64::try_from(seen.batch).unwrap_or(i64::MAX);
            let timeline = self.timeline();
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                [&self.base.table.oid, &seen.generation, &seen.member, &batch, &pieces, &timeline];
            let copied = async {
                let copy = client.prepare_cached(&copy).await?;
                client.execute(&copy, &params).await
            };
            let copied =
                client.alone(async { copied.await.map_err(|error| failed(&error)) }).await?;
            drop(client.release());
            Ok(copied)
        };
        if within(write).await? > 0 {
            self.journal.confirm_copy(seen);
        }
        Ok(())
    }
}
