//! The witness: what Redis has acknowledged, kept in Postgres, so that a loss in Redis is noticed
//! although nobody who had the answer lives any more.

use tokio_postgres::types::Type;

use super::OutboxError;
use super::lease::Lease;
use super::pg_outbox::PgOutbox;
use super::refusal::{failed, within};
use super::session::Session;
use crate::relay::event::Acknowledged;

/// What a recovery reads, under the fence.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// The generation that began with the last loss that was told; 0: none.
    pub(super) loss: i64,
    /// What was acknowledged since.
    pub(super) acknowledged: Vec<Acknowledged>,
}

impl PgOutbox {
    /// Writes down what Redis has acknowledged to this member.
    pub(super) async fn write_down(&self, seen: Acknowledged) -> Result<(), OutboxError> {
        let write = async {
            let client = Lease::new(self.connection().await?);
            let batch = i64::try_from(seen.batch).unwrap_or(i64::MAX);
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&self.table.oid, &seen.generation, &seen.member, &batch];
            let write = async {
                let write = client.prepare_cached(include_str!("sql/testify.sql")).await?;
                client.execute(&write, &params).await
            };
            client.alone(async { write.await.map_err(|error| failed(&error)) }).await?;
            drop(client.release());
            Ok(())
        };
        within(write).await
    }
}

impl Witness {
    pub(super) async fn read(client: &Session, oid: u32) -> Result<Self, tokio_postgres::Error> {
        let rows =
            client.query_typed(include_str!("sql/witness.sql"), &[(&oid, Type::OID)]).await?;
        let mut witness = Self::default();
        for row in rows {
            let generation: i64 = row.get(0);
            let member: i32 = row.get(1);
            let batch: i64 = row.get(2);
            if member == NOBODY {
                witness.loss = witness.loss.max(generation);
            } else {
                let batch = u64::try_from(batch).unwrap_or(0);
                witness.acknowledged.push(Acknowledged { generation, member, batch });
            }
        }
        let loss = witness.loss;
        witness.acknowledged.retain(|seen| seen.generation >= loss);
        Ok(witness)
    }

    /// Notes a loss that was told, so that nobody tells it again, and drops what is older than the
    /// journal's own memory.
    pub(super) async fn close(
        client: &Session,
        oid: u32,
        generation: i64,
        oldest: i64,
        lost: bool,
    ) -> Result<(), tokio_postgres::Error> {
        if lost {
            let note = [
                (&oid as _, Type::OID),
                (&generation as _, Type::INT8),
                (&NOBODY as _, Type::INT4),
            ];
            client.execute_typed(include_str!("sql/note_loss.sql"), &note).await?;
        }
        let old = [(&oid as _, Type::OID), (&oldest as _, Type::INT8)];
        client.execute_typed(include_str!("sql/remove_witness.sql"), &old).await?;
        Ok(())
    }
}

/// In place of a member: a loss was told in the recovery that began the generation.
const NOBODY: i32 = 0;
