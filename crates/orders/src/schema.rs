//! Creates the order domain's tables, however late Postgres comes up.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use deadpool_postgres::{Pool, PoolError};
use parking_lot::Mutex;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::options::BadOption;
use super::saga::INBOX;
use outflow_connect::postgres::{blockers, describe, describe_pool, is_refused_by_pool};
use outflow_consumer::Inbox;

const SCHEMA: &str = include_str!("schema.sql");
/// Only who holds this lock creates tables: `create … if not exists` fails when two sessions do it
/// at once. Any number that is always the same will do.
const LOCK: i64 = 0x6f72_6465_7273;
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(2);

/// Whether the tables are there.
#[derive(Debug, Clone)]
pub struct Schema {
    /// Why they are not, as far as is known.
    missing: Arc<Mutex<Option<String>>>,
}

impl Default for Schema {
    fn default() -> Self {
        Self { missing: Arc::new(Mutex::new(Some("Postgres was not reached yet".to_owned()))) }
    }
}

impl Schema {
    /// Why the tables are not there; `None` once they are.
    pub fn missing(&self) -> Option<String> {
        self.missing.lock().clone()
    }

    /// Creates the tables, trying again until it succeeds or `stop` is cancelled. Logs the first
    /// failure and each one of another kind, not every one.
    ///
    /// # Errors
    /// The server refuses us for good: a password, the role or the database must be mended.
    pub async fn create(&self, pool: &Pool, stop: &CancellationToken) -> Result<(), BadOption> {
        let mut pauses = pauses().build();
        loop {
            let outcome = tokio::select! {
                outcome = apply(pool) => outcome,
                () = stop.cancelled() => return Ok(()),
            };
            let cause = match outcome {
                Ok(()) => {
                    self.note(None);
                    tracing::info!("the tables of schema orders are ready");
                    super::retention::build_indexes(pool, stop).await;
                    return Ok(());
                }
                Err(Failure::Refused(cause)) => {
                    return Err(BadOption(format!("--postgres-url: {cause}")));
                }
                Err(Failure::NotYet(cause)) => cause,
            };
            if self.note(Some(cause.clone())).as_ref() != Some(&cause) {
                tracing::warn!(%cause, "cannot create the tables of schema orders yet: retrying");
            }
            let pause = pauses.next().unwrap_or(RETRY_LONGEST);
            let _ = tokio::time::timeout(pause, stop.cancelled()).await;
        }
    }

    /// Notes why they are missing, and returns what was noted before.
    fn note(&self, missing: Option<String>) -> Option<String> {
        std::mem::replace(&mut *self.missing.lock(), missing)
    }
}

fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(RETRY_FIRST)
        .with_max_delay(RETRY_LONGEST)
        .without_max_times()
        .with_jitter()
}

/// Writers of tables that are there already wait behind whoever waits for a lock: not for long. The
/// next try follows.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '1s'; set local client_min_messages = warning";

/// Why the tables could not be created.
enum Failure {
    /// Another try may succeed.
    NotYet(String),
    /// The address must be mended first.
    Refused(String),
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        let cause = describe_pool(&error);
        if is_refused_by_pool(&error) { Self::Refused(cause) } else { Self::NotYet(cause) }
    }
}

async fn apply(pool: &Pool) -> Result<(), Failure> {
    let mut client = pool.get().await?;
    // To tell who holds a lock. Without a second connection that is not told.
    let observer = pool.get().await.ok();
    let pid = client.query_typed_one("select pg_catalog.pg_backend_pid()", &[]).await;
    let pid = pid.map_err(PoolError::from)?.get(0);
    // Its table is the same for every group.
    let inbox = Inbox::new(INBOX, "").expect("the name of a table");
    let work = async {
        let transaction = client.transaction().await?;
        transaction
            .execute_typed("select pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)])
            .await?;
        transaction.batch_execute(LOCK_TIMEOUT).await?;
        transaction.batch_execute(SCHEMA).await?;
        transaction.batch_execute(inbox.ddl()).await?;
        transaction.commit().await
    };
    let (outcome, wait) =
        blockers::watched(observer.as_deref().map(|client| &**client), pid, work).await;
    outcome.map_err(|error| match wait {
        // Without ages, which would make each try another cause.
        Some(wait) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            Failure::NotYet(wait.briefly())
        }
        _ => Failure::NotYet(describe(&error)),
    })
}
