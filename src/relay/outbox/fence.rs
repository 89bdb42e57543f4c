//! The fence: a transaction that holds it keeps recoveries out until it ends, so that what its
//! member does in it is done in a generation that is in force.

use tokio_postgres::Row;

use super::identity::{Generation, is_another, is_unregistered};
use super::refusal::{Failed, ask};
use super::session::Session;
use super::table::Table;
use super::{OutboxError, lock};
use crate::relay::options::OutboxOptions;
use outflow_core::table_name::TableName;

/// What a deferred trigger or key has against the delete is said by the claim, before anything is
/// appended; said by the commit, it would be a doubt.
pub(super) const BEGIN: &str =
    "begin isolation level read committed read write; set constraints all immediate";
/// The setting lives as long as the transaction, and the delete asks for it: had `begin` failed,
/// each of the statements sent behind it would commit by itself, and this one would set it for
/// nobody.
pub(super) const FENCE: &str =
    "select pg_advisory_xact_lock_shared($1, $2), set_config('outflow.claim', 'open', true)";

/// That of one table.
#[derive(Debug, Clone)]
pub(super) struct Fence {
    oid: u32,
    name: TableName,
    generation: Generation,
}

impl Fence {
    pub(super) fn new(config: &OutboxOptions, table: &Table) -> Self {
        let generation = table.sql.generation.clone();
        Self { oid: table.oid, name: config.table.clone(), generation }
    }

    /// Begins a transaction that holds the fence, in the member's own generation.
    pub(super) async fn enter(&self, client: &Session, generation: i64) -> Result<(), Failed> {
        client.begin(BEGIN).await?;
        ask(client.execute(FENCE, &[&lock::FENCE, &lock::key(self.oid)])).await?;
        let known = if client.is_lent() { &self.generation.lent } else { &self.generation.own };
        let known = ask(client.query_opt(known, &[&self.oid, &None::<u32>])).await?;
        self.is_ours(known, generation).map(drop)
    }

    /// Whether the table is the one that was examined, and the generation ours.
    pub(super) fn is_ours(&self, known: Option<Row>, generation: i64) -> Result<Row, Failed> {
        let known = known.ok_or_else(|| Failed::Lost(is_unregistered(&self.name)))?;
        // Rows of another table were not taken: the delete asks too. But that there are none would
        // be believed.
        if !known.get::<_, bool>(2) {
            return Err(Failed::Lost(is_another(&self.name)));
        }
        let in_force: i64 = known.get(0);
        if in_force == generation {
            Ok(known)
        } else {
            Err(Failed::Lost(OutboxError::Stale(in_force)))
        }
    }
}
