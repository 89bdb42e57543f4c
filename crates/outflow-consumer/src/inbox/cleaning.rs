//! The retention of an inbox: old rows are deleted batch by batch.

use std::time::Duration;

use deadpool_postgres::Pool;
use tokio_postgres::GenericClient;
use tokio_postgres::types::{ToSql, Type};
use tokio_util::sync::CancellationToken;

use super::{Inbox, InboxError};
use outflow_connect::postgres::describe_pool;

/// Rows that are deleted in one statement: short enough to be in nobody's way.
const CLEAN_BATCH: i64 = 5_000;
const CLEAN_INTERVAL: Duration = Duration::from_mins(1);
const CLEAN_TIMEOUT: Duration = Duration::from_secs(30);

impl Inbox {
    /// Deletes at most `batch` rows of this group that are older than `keep`. Returns how many; if
    /// fewer than `batch`, there are no more.
    ///
    /// # Errors
    /// [`InboxError`] if Postgres refuses or cannot be reached.
    pub async fn clean<C: GenericClient + Sync>(
        &self,
        client: &C,
        keep: Duration,
        batch: i64,
    ) -> Result<u64, InboxError> {
        let seconds = keep.as_secs_f64();
        let args: [(&(dyn ToSql + Sync), Type); 3] =
            [(&self.group, Type::TEXT), (&seconds, Type::FLOAT8), (&batch, Type::INT8)];
        client.execute_typed(&self.clean, &args).await.map_err(InboxError)
    }

    /// Deletes rows that are older than `keep`, once a minute, until `stop` is canceled. Several
    /// consumers may do so at once. A failure is logged; the next minute tries again.
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
                    tracing::warn!(
                        cause,
                        group = self.group,
                        "cannot delete old rows of the \
                        inbox; trying again in a minute"
                    );
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
            // One for each batch, so that others can use the connection in between.
            let client = pool.get().await.map_err(|error| describe_pool(&error))?;
            let cleaning = self.clean(&**client, keep, CLEAN_BATCH);
            let rows = match tokio::time::timeout(CLEAN_TIMEOUT, cleaning).await {
                Ok(rows) => rows.map_err(|error| error.to_string())?,
                Err(_elapsed) => return Err(format!("no answer within {CLEAN_TIMEOUT:?}")),
            };
            total += rows;
            if rows < CLEAN_BATCH.unsigned_abs() {
                break;
            }
        }
        Ok(total)
    }
}
