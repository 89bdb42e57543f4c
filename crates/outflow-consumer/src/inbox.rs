//! Effects once: a table of the events that were handled, written in the transaction of the effect.

use std::collections::HashSet;
use std::time::Duration;

use deadpool_postgres::Pool;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use outflow_connect::postgres::{describe, describe_pool};
use outflow_core::table_name::{BadTableName, TableName};

/// Rows that are deleted in one statement: short enough to be in nobody's way.
const CLEAN_BATCH: i64 = 5_000;
const CLEAN_INTERVAL: Duration = Duration::from_mins(1);
const CLEAN_PATIENCE: Duration = Duration::from_secs(30);

/// An inbox table:
/// `(consumer_group text, event_id uuid, handled_at timestamptz default now(), primary key
/// (consumer_group, event_id))`,
/// with a B-tree index on `(consumer_group, handled_at)` for its retention. A BRIN index reads well
/// at first and decays: once deleted rows have made room, new ones land on old pages, every range
/// of pages has old and new times in it, and each look reads the whole table.
///
/// Its rows must be kept for as long as an event can come back: the retention of the stream, and of
/// whatever may be replayed into it. They are deleted by batch ([`Inbox::keep_clean`]), not by
/// dropping partitions: a table partitioned by time can have no unique index without the time in
/// it, and so would take an event a second time in the next partition.
#[derive(Debug, Clone)]
pub struct Inbox {
    insert: String,
    insert_many: String,
    clean: String,
    group: String,
}

impl Inbox {
    /// The inbox of a consumer group. Each group handles each event once.
    ///
    /// # Errors
    /// [`BadTableName`] when `table` is no table's name.
    pub fn new(table: &str, group: &str) -> Result<Self, BadTableName> {
        let table = table.parse::<TableName>()?.quoted();
        let insert = format!(
            "insert into {table} (consumer_group, event_id) values ($1, $2) on conflict do nothing"
        );
        // In the order of the ids: two transactions with some of the same ones wait for each other,
        // and do not deadlock.
        let insert_many = format!(
            "insert into {table} (consumer_group, event_id) select $1, event_id from unnest($2) \
                as given (event_id) \
             order by event_id on conflict do nothing returning event_id"
        );
        // By primary key, not by ctid: a table that is partitioned (by hash of the event id, say)
        // has the same ctid more than once.
        let clean = format!(
            "delete from {table} where (consumer_group, event_id) in (select consumer_group, \
                event_id from {table} \
             where handled_at < now() - make_interval(secs => $2) and consumer_group = $1 limit $3)"
        );
        Ok(Self { insert, insert_many, clean, group: group.to_owned() })
    }

    /// Notes the event as handled, and says whether it was not before. Call it first in the
    /// transaction of the effect; on `false`, make no effect. Another transaction that handles the
    /// same event at the same time is waited for.
    ///
    /// # Errors
    /// When Postgres refuses or cannot be reached.
    pub async fn first_time<C: GenericClient + Sync>(
        &self,
        transaction: &C,
        event_id: Uuid,
    ) -> Result<bool, tokio_postgres::Error> {
        let rows = transaction
            .execute_typed(&self.insert, &[(&self.group, Type::TEXT), (&event_id, Type::UUID)])
            .await?;
        Ok(rows == 1)
    }

    /// As [`Inbox::first_time`], with a statement that is prepared once a connection: faster, and
    /// not for transaction poolers that do not support that.
    ///
    /// # Errors
    /// When Postgres refuses or cannot be reached.
    pub async fn first_time_prepared(
        &self,
        transaction: &deadpool_postgres::Transaction<'_>,
        event_id: Uuid,
    ) -> Result<bool, tokio_postgres::Error> {
        let insert = transaction.prepare_cached(&self.insert).await?;
        Ok(transaction.execute(&insert, &[&self.group, &event_id]).await? == 1)
    }

    /// As [`Inbox::first_time`] for several events in one statement, for a
    /// [`handle_many`](super::Handler::handle_many) that makes their effects in one transaction.
    /// Returns those that were not handled before; one that is given twice is in it once.
    ///
    /// # Errors
    /// When Postgres refuses or cannot be reached.
    pub async fn first_times<C: GenericClient + Sync>(
        &self,
        transaction: &C,
        event_ids: &[Uuid],
    ) -> Result<HashSet<Uuid>, tokio_postgres::Error> {
        let args: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&self.group, Type::TEXT), (&event_ids, Type::UUID_ARRAY)];
        let rows = transaction.query_typed(&self.insert_many, &args).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    /// Deletes at most `batch` rows of this group that are older than `keep`. Returns how many;
    /// fewer than `batch` says that these were the last.
    ///
    /// # Errors
    /// When Postgres refuses or cannot be reached.
    pub async fn clean<C: GenericClient + Sync>(
        &self,
        client: &C,
        keep: Duration,
        batch: i64,
    ) -> Result<u64, tokio_postgres::Error> {
        let values = (keep.as_secs_f64(), batch);
        let args: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
            [(&self.group, Type::TEXT), (&values.0, Type::FLOAT8), (&values.1, Type::INT8)];
        client.execute_typed(&self.clean, &args).await
    }

    /// Looks once a minute for rows that are older than `keep` and deletes them, a batch at a time,
    /// until `stop` is cancelled. Several consumers may do so at once. A failure is logged, and
    /// tried again with the next look.
    pub async fn keep_clean(&self, pool: &Pool, keep: Duration, stop: &CancellationToken) {
        while tokio::time::timeout(CLEAN_INTERVAL, stop.cancelled()).await.is_err() {
            let cleaned = tokio::select! {
                cleaned = self.clean_all(pool, keep, stop) => cleaned,
                () = stop.cancelled() => return,
            };
            match cleaned {
                Ok(0) => {}
                Ok(rows) => {
                    tracing::info!(rows, group = self.group, "deleted old rows of the inbox");
                }
                Err(cause) => {
                    tracing::warn!(%cause, group = self.group, "old rows of the inbox are not \
                        deleted yet");
                }
            }
        }
    }

    async fn clean_all(
        &self,
        pool: &Pool,
        keep: Duration,
        stop: &CancellationToken,
    ) -> Result<u64, String> {
        let mut total = 0;
        while !stop.is_cancelled() {
            // One for each batch: whoever else needs a connection comes in between.
            let client = pool.get().await.map_err(|error| describe_pool(&error))?;
            let cleaning =
                tokio::time::timeout(CLEAN_PATIENCE, self.clean(&**client, keep, CLEAN_BATCH));
            let rows = match cleaning.await {
                Ok(rows) => rows.map_err(|error| describe(&error))?,
                Err(_elapsed) => return Err(format!("no answer within {CLEAN_PATIENCE:?}")),
            };
            total += rows;
            if rows < CLEAN_BATCH.unsigned_abs() {
                break;
            }
        }
        Ok(total)
    }
}
