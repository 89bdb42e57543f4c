//! One event table in Postgres as an [`Outbox`]: its connections and what it remembers between claims.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio::sync::Mutex as AsyncMutex;

use super::claim::PgClaim;
use super::control::Control;
use super::cursor::Cursor;
use super::in_flight::InFlight;
use super::recovery::PgRecovery;
use super::table::Table;
use super::{Joined, Outbox, OutboxError, Woken};
use crate::config::OutboxConfig;
use crate::postgres::{describe, describe_pool, pool};

/// Longer than the statement timeout of the sessions: what still has no answer then has lost its server.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(40);
/// One connection more than batches in flight: recovery and sweep have their own.
const SPARE_CONNECTIONS: usize = 1;

/// An event table, drained by one member.
pub struct PgOutbox {
    pub(super) config: OutboxConfig,
    pub(super) table: Table,
    pub(super) pool: Pool,
    pub(super) state: Arc<Mutex<State>>,
    server: tokio_postgres::Config,
    control: AsyncMutex<Option<Control>>,
}

/// What is remembered between claims. Never held across an await.
pub(super) struct State {
    pub(super) cursor: Cursor,
    pub(super) in_flight: InFlight,
    /// The lowest order value to look at again, from outside the claims; applied before the next one.
    pub(super) look_again: Option<i64>,
    /// The generation this member works in.
    pub(super) generation: i64,
    /// Rows the next claim may take: fewer than configured where rows are large.
    pub(super) limit: usize,
}

impl PgOutbox {
    /// Prepares to drain `table`; connects when first used.
    pub fn new(config: OutboxConfig, table: Table, server: &tokio_postgres::Config) -> Self {
        let size = config.in_flight + SPARE_CONNECTIONS;
        let state = State {
            cursor: Cursor::default(),
            in_flight: InFlight::default(),
            look_again: None,
            generation: 0,
            limit: config.batch_rows,
        };
        Self {
            pool: pool(server.clone(), size, include_str!("sql/session.sql")),
            state: Arc::new(Mutex::new(state)),
            server: server.clone(),
            control: AsyncMutex::new(None),
            config,
            table,
        }
    }

    /// How many transactions the cursor watches.
    pub fn watched(&self) -> usize {
        locked(&self.state).cursor.watched_len()
    }

    pub(super) async fn connection(&self) -> Result<Object, OutboxError> {
        self.pool.get().await.map_err(|error| OutboxError::Postgres(describe_pool(&error)))
    }

    async fn with_control<T>(
        &self,
        step: impl AsyncFnOnce(&Control) -> Result<T, OutboxError>,
    ) -> Result<T, OutboxError> {
        let mut control = self.control.lock().await;
        let Some(open) = control.as_ref().filter(|open| open.is_alive()) else { return Err(lost()) };
        let outcome = step(open).await;
        if outcome.is_err() {
            // Locks count re-entries: after an uncertain answer only a new session knows where it stands.
            *control = None;
        }
        outcome
    }
}

impl Outbox for PgOutbox {
    type Claim = PgClaim;
    type Recovery = PgRecovery;

    async fn join(&self) -> Result<Joined, OutboxError> {
        let mut control = self.control.lock().await;
        if let Some(seat) = control.as_ref().filter(|open| open.is_alive()).and_then(Control::seat) {
            return Ok(Joined::Member { number: seat });
        }
        let mut open = match control.take().filter(Control::is_alive) {
            Some(open) => open,
            None => Control::connect(&self.server, self.table.oid).await?,
        };
        let joined = open.take_seat().await?;
        *control = Some(open);
        Ok(joined)
    }

    async fn claim(&self, parked: &[String]) -> Result<Option<PgClaim>, OutboxError> {
        if !self.control.lock().await.as_ref().is_some_and(Control::is_alive) {
            return Err(lost());
        }
        within(self.take(parked)).await
    }

    async fn recover(&self) -> Result<PgRecovery, OutboxError> {
        within(self.begin_recovery()).await
    }

    fn rewind(&self) {
        locked(&self.state).look_again = Some(super::cursor::BEGINNING);
    }

    async fn fall_asleep(&self) -> Result<bool, OutboxError> {
        self.with_control(Control::fall_asleep).await
    }

    async fn woken(&self, limit: Duration) -> Woken {
        let waiter = self.control.lock().await.as_ref().map(Control::waiter);
        match waiter {
            Some(waiter) => waiter.wait(limit).await,
            None => Woken::Disconnected,
        }
    }

    async fn get_up(&self) -> Result<(), OutboxError> {
        self.with_control(Control::get_up).await
    }
}

pub(super) fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bounds a step that only waits for the server.
pub(super) async fn within<T>(step: impl Future<Output = Result<T, OutboxError>> + Send) -> Result<T, OutboxError> {
    match tokio::time::timeout(ANSWER_LIMIT, step).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(OutboxError::Postgres(format!("no answer for {} s", ANSWER_LIMIT.as_secs()))),
    }
}

pub(super) fn failed(error: &tokio_postgres::Error) -> OutboxError {
    OutboxError::Postgres(describe(error))
}

fn lost() -> OutboxError {
    OutboxError::Postgres("the control connection is lost".to_owned())
}
