//! Recovery: one transaction that holds the fence exclusively, so that nobody's claim is open.

use std::sync::{Arc, Mutex};

use deadpool_postgres::Object;
use tokio_postgres::error::SqlState;

use super::claim::abandon;
use super::source::{PgOutbox, State, failed, locked, within};
use super::{OutboxError, Recovery, lock};
use crate::event::AppendedRow;

/// How long open claims may take to end by themselves.
const BEGIN: &str = "begin isolation level read committed read write; set local lock_timeout = '2s'";
const FENCE: &str = "select pg_advisory_xact_lock($1, $2)";
const GENERATION: &str = "select generation from outflow.outbox where relation = $1::oid for update";
/// Whoever still holds the fence is frozen or cut off: its claim must not end later than this recovery.
const TERMINATE: &str = "select count(pg_terminate_backend(pid)) from pg_locks \
    where locktype = 'advisory' and granted and pid <> pg_backend_pid() \
    and database = (select oid from pg_database where datname = current_database()) \
    and classid = $1::integer::oid and objid = $2::integer::oid and objsubid = 2";
const RAISE: &str = "update outflow.outbox set generation = $2 where relation = $1::oid";
const NOTIFY: &str = "select pg_notify('outflow_' || $1::oid::text, '')";
/// Attempts to get the fence, each after those who held it were terminated.
const FENCE_ATTEMPTS: usize = 5;

/// An open recovery.
pub struct PgRecovery {
    client: Option<Object>,
    oid: u32,
    generation: i64,
    settle: String,
    state: Arc<Mutex<State>>,
}

impl PgOutbox {
    pub(super) async fn begin_recovery(&self) -> Result<PgRecovery, OutboxError> {
        let keys = (lock::FENCE, lock::key(self.table.oid));
        for _ in 0..FENCE_ATTEMPTS {
            let client = self.connection().await?;
            match fence(&client, keys, self.table.oid).await {
                Ok(generation) => {
                    let (settle, state) = (self.table.sql.settle_recovered.clone(), Arc::clone(&self.state));
                    return Ok(PgRecovery { client: Some(client), oid: self.table.oid, generation, settle, state });
                }
                Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                    client.batch_execute("rollback").await.map_err(|error| failed(&error))?;
                    let row = client.query_one(TERMINATE, &[&keys.0, &keys.1]).await.map_err(|error| failed(&error))?;
                    let terminated: i64 = row.get(0);
                    tracing::warn!(outbox = self.config.name, terminated, "claims that did not end were terminated");
                }
                Err(error) => return Err(abandon(client, failed(&error))),
            }
        }
        Err(OutboxError::Postgres("the fence lock is held by sessions that do not end".to_owned()))
    }
}

async fn fence(client: &Object, keys: (i32, i32), oid: u32) -> Result<i64, tokio_postgres::Error> {
    client.batch_execute(BEGIN).await?;
    client.execute(FENCE, &[&keys.0, &keys.1]).await?;
    Ok(client.query_one(GENERATION, &[&oid]).await?.get(0))
}

impl Recovery for PgRecovery {
    fn generation(&self) -> i64 {
        self.generation
    }

    async fn finish(mut self, generation: i64, appended: &[AppendedRow]) -> Result<u64, OutboxError> {
        let rows: Vec<&str> = appended.iter().map(|row| text(&row.row)).collect::<Result<_, _>>()?;
        let ids: Vec<&str> = appended.iter().map(|row| text(&row.event_id)).collect::<Result<_, _>>()?;
        let Some(client) = self.client.take() else { return Ok(0) };
        let work = async {
            let settled = client.execute(&self.settle, &[&rows, &ids]).await?;
            client.execute(RAISE, &[&self.oid, &generation]).await?;
            client.execute(NOTIFY, &[&self.oid]).await?;
            client.batch_execute("commit").await?;
            Ok(settled)
        };
        match within(async { work.await.map_err(|error: tokio_postgres::Error| failed(&error)) }).await {
            Ok(settled) => {
                let mut state = locked(&self.state);
                state.generation = generation;
                // What the last generation left open may be anywhere.
                state.look_again = Some(super::cursor::BEGINNING);
                Ok(settled)
            }
            Err(error) => Err(abandon(client, error)),
        }
    }
}

/// A recovery that is not finished leaves nothing open: its session is closed, not given back.
impl Drop for PgRecovery {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

fn text(bytes: &[u8]) -> Result<&str, OutboxError> {
    std::str::from_utf8(bytes)
        .map_err(|_| OutboxError::Postgres("the journal holds a key that is not UTF-8".to_owned()))
}
