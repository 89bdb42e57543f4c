//! Emptying one partition of the ring.
//!
//! A look without a lock reads the partition, which may take long. Then the partition is locked for
//! a moment, and looked at again for what that look did not see. A transaction that was open
//! meanwhile has ended by then, because the lock waits for it, and its rows are found by their
//! transactions. So no row can come in between. Only then it is truncated.
//!
//! The partition is read through its table, because only that is granted, and the partition key
//! makes Postgres read this partition alone.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::rules::Rules;

/// Claims wait behind this attempt.
const BEGIN: &str = "begin isolation level read committed read write; \
    set local lock_timeout = '100ms'; set local statement_timeout = '5s'";
const GENERATION: &str = "select generation from outflow.outbox where relation = $1::oid";

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its name, quoted if need be.
    pub name: String,
    /// The partition key, as SQL.
    pub key: String,
    /// Which value of it this partition takes.
    pub slot: u64,
}

/// What a look has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It is empty, or has rows that are not old.
    Wait,
    /// All that is in the way is this row.
    Unread {
        /// Its order value.
        row: i64,
        /// Its stream.
        stream: String,
    },
    /// Nothing that this snapshot sees must stay.
    Due {
        /// The snapshot of the look.
        seen: String,
    },
}

/// What has become of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emptied {
    /// It is empty.
    Done,
    /// The lock was not to be had.
    Locked,
    /// Rows came after the look, or the positions are others by now.
    Changed,
}

impl Partition {
    /// Whether it may be emptied. Changes nothing, and holds nobody up.
    ///
    /// # Errors
    /// Postgres refused or is gone.
    pub async fn look(
        &self,
        client: &Client,
        rules: &Rules,
    ) -> Result<Look, tokio_postgres::Error> {
        let Rules { table, order, old, unread, stream, .. } = rules;
        let rows = format!("from {table} as t where {} = {}", self.key, self.slot);
        // What is cheap comes first: the newest row by the index tells of most partitions.
        let statement = format!(
            "select pg_catalog.pg_current_snapshot()::text, case \
             when not exists (select {rows}) then 'wait' \
             when (select not {old} {rows} order by t.{order} desc limit 1) then 'wait' \
             when exists (select {rows} and {unread}) then 'unread' \
             when exists (select {rows} and not {old}) then 'wait' \
             else 'due' end"
        );
        let found = client.query_typed(&statement, &[]).await?;
        let what: &str = found.first().map_or("wait", |row| row.get(1));
        match what {
            "due" => Ok(Look::Due { seen: found[0].get(0) }),
            "unread" => {
                let first =
                    format!("select t.{order}::bigint, {stream} {rows} and {unread} limit 1");
                let first = client.query_typed(&first, &[]).await?;
                Ok(first.first().map_or(Look::Wait, |row| Look::Unread {
                    row: row.get(0),
                    stream: row.get::<_, Option<String>>(1).unwrap_or_default(),
                }))
            }
            _ => Ok(Look::Wait),
        }
    }

    /// Empties it, if nothing has come since a look with the snapshot `seen`, and if the outbox is
    /// still at its generation (`at`: its table and that). Gives up soon if others use the
    /// partition.
    ///
    /// # Errors
    /// Postgres refused or is gone; nothing was done.
    pub async fn empty(
        &self,
        client: &Client,
        rules: &Rules,
        seen: &str,
        at: (u32, i64),
    ) -> Result<Emptied, tokio_postgres::Error> {
        client.batch_execute(BEGIN).await?;
        let outcome = self.emptied(client, rules, seen, at).await;
        match outcome {
            Ok(Emptied::Done) => client.batch_execute("commit").await?,
            Ok(Emptied::Locked | Emptied::Changed) | Err(_) => {
                client.batch_execute("rollback").await?;
            }
        }
        match outcome {
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                Ok(Emptied::Locked)
            }
            outcome => outcome,
        }
    }

    async fn emptied(
        &self,
        client: &Client,
        rules: &Rules,
        seen: &str,
        (oid, generation): (u32, i64),
    ) -> Result<Emptied, tokio_postgres::Error> {
        let Self { name, key, slot } = self;
        let Rules { table, xid, .. } = rules;
        client.batch_execute(&format!("lock table only {name} in access exclusive mode")).await?;
        // A statement of its own: its snapshot is taken under the lock.
        let added = format!(
            "select exists (select from {table} as t where {key} = {slot} \
             and t.{xid} >= pg_catalog.pg_snapshot_xmin($1::text::pg_snapshot) \
             and not pg_catalog.pg_visible_in_snapshot(t.{xid}, $1::text::pg_snapshot))"
        );
        let added = client.query_typed(&added, &[(&seen, Type::TEXT)]).await?;
        let known = client.query_typed(GENERATION, &[(&oid, Type::OID)]).await?;
        let is_added = added.first().is_none_or(|row| row.get(0));
        let is_same = known.first().is_some_and(|row| row.get::<_, i64>(0) == generation);
        if is_added || !is_same {
            return Ok(Emptied::Changed);
        }
        client.batch_execute(&format!("truncate table {name}")).await?;
        Ok(Emptied::Done)
    }
}
