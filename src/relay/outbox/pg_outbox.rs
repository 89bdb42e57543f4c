//! One event table in Postgres that is drained by one member: its connections and its state.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio_postgres::Client;

use super::OutboxError;
use super::control::{Control, Seen, Waiter};
use super::cursor::Cursor;
use super::fence::Fence;
use super::held::Held;
use super::in_flight::InFlight;
use super::patience::{Patience, USUAL};
use super::refusal::failed;
use super::servers::Servers;
use super::session::{Session, Sessions};
use super::state::{State, locked};
use super::table::Table;
use super::unsettled::LeftOut;
use crate::relay::options::{OutboxOptions, Settle};
use crate::relay::pause::Pauses;
use outflow_connect::postgres::{self, Server, connect};

/// What each session of the pool relies on.
pub(crate) const SESSION: &str = include_str!("sql/session.sql");
/// The same for a kept outbox. Rows that a policy hides would be passed for good: a read that meets
/// one is refused. Its plan sorts what it finds by transactions.
const KEPT_SESSION: &str =
    concat!(include_str!("sql/session.sql"), "set row_security = off;\nset enable_sort = on;\n");
/// Connections beyond those of the batches in flight: recovery and sweep have their own.
pub(super) const SPARE_CONNECTIONS: usize = 2;
/// The same with those that are not of the pool: the control session, and the one that watches the
/// backlog.
pub const CONNECTIONS_BEYOND: usize = SPARE_CONNECTIONS + 2;
/// Connections that go around a transaction pooler: the control session, the one that watches the
/// backlog, and now and then one that examines the table or removes old rows.
pub const CONNECTIONS_AROUND: usize = 3;

/// An event table, drained by one member.
pub struct PgOutbox {
    pub(super) config: OutboxOptions,
    pub(super) table: Table,
    pub(super) fence: Fence,
    pub(super) sessions: Sessions,
    pub(super) state: Arc<Mutex<State>>,
    /// How this member reads the table and where it appends: members of one share-out agree on it.
    pub(super) mapping: String,
    /// Stands for what is too long, in the answers of claims.
    pub(super) marker: String,
    /// Of the control session.
    pub(super) direct: Server,
    pub(super) control: AsyncMutex<Option<Control>>,
    pub(super) pauses: watch::Sender<Arc<Pauses>>,
}

impl PgOutbox {
    /// Prepares to drain `table`; connects when first used. `sink` names where it appends to.
    pub fn new(config: OutboxOptions, table: Table, servers: Servers<'_>, sink: &str) -> Self {
        let mapping = mapping(&config, sink) + &table.manner;
        let size = config.in_flight + SPARE_CONNECTIONS;
        let state = State {
            cursor: Cursor::default(),
            in_flight: InFlight::default(),
            ended: Arc::default(),
            look_again: None,
            proven: None,
            start_over: false,
            suspicion: None,
            generation: 0,
            mask: 0,
            live: Vec::new(),
            limit: config.batch_rows,
            patience: Patience::new(USUAL),
            held: Held::default(),
            left_out: LeftOut::default(),
            aside: Vec::new(),
            waiter: None,
            outdated: None,
        };
        Self {
            sessions: Sessions::new(servers, size, session(&config)),
            state: Arc::new(Mutex::new(state)),
            direct: servers.direct().clone(),
            control: AsyncMutex::new(None),
            pauses: watch::Sender::default(),
            mapping,
            marker: format!("\"{}\"", uuid::Uuid::new_v4()),
            fence: Fence::new(&config, &table),
            config,
            table,
        }
    }

    /// How many transactions the cursor watches.
    pub fn watched(&self) -> usize {
        locked(&self.state).cursor.watched_len()
    }

    pub(super) async fn connection(&self) -> Result<Session, OutboxError> {
        self.sessions.get().await
    }

    /// A session for steps that need more than one transaction in it, where those of the pool are
    /// lent; `None` if they are our own. It goes around the pooler, and ends with its user.
    pub(super) async fn own_session(&self) -> Result<Option<Client>, OutboxError> {
        if !self.sessions.are_lent() {
            return Ok(None);
        }
        let server = self.direct.named("outflow retention");
        let client = connect(&server).await;
        let client = client.map_err(|fault| OutboxError::Postgres(fault.to_string()))?;
        let settings = postgres::session(session(&self.config));
        client.batch_execute(&settings).await.map_err(|error| failed(&error))?;
        Ok(Some(client))
    }

    pub(super) async fn seat(&self) -> Result<i32, OutboxError> {
        self.with_control(async |control| Ok(control.seat())).await
    }

    /// Gives up the control session: the next join takes a new seat.
    pub(super) async fn lose_control(&self) {
        *self.control.lock().await = None;
    }

    pub(super) fn waiter(&self) -> Option<Waiter> {
        locked(&self.state).waiter.clone()
    }

    /// Remembers what is paused, and tells if that is something else than before.
    pub(super) fn heard(&self, pauses: Pauses) {
        self.pauses.send_if_modified(|known| {
            let differs = **known != pauses;
            if differs {
                *known = Arc::new(pauses);
            }
            differs
        });
    }

    /// Whether the generation is still ours, and nobody has come or gone.
    pub(super) fn is_in_force(&self, seen: &Seen) -> bool {
        let state = locked(&self.state);
        seen.generation == state.generation && seen.live == state.live
    }

    pub(super) async fn with_control<T>(
        &self,
        step: impl AsyncFnOnce(&Control) -> Result<T, OutboxError>,
    ) -> Result<T, OutboxError> {
        let mut control = self.control.lock().await;
        let Some(open) = control.as_ref().filter(|open| open.is_alive()) else {
            return Err(lost());
        };
        // A session that no longer answers is given up when the ping says so, not when the step's
        // own time is over.
        let outcome = tokio::select! {
            outcome = step(open) => outcome,
            () = open.closed().cancelled_owned() => Err(lost()),
        };
        if outcome.is_err() {
            // Locks count re-entries: after an uncertain answer only a new session knows where it
            // stands.
            *control = None;
        }
        outcome
    }
}

fn session(config: &OutboxOptions) -> &'static str {
    match config.settle {
        Settle::Delete => SESSION,
        Settle::Keep(_) => KEPT_SESSION,
    }
}

/// What the members of one share-out must agree on, readable: it is shown when they do not.
fn mapping(config: &OutboxOptions, sink: &str) -> String {
    let OutboxOptions { stream, format, settle, columns, .. } = config;
    format!("stream {stream}; {format:?}; {settle:?}; {columns:?}; sink {sink}")
}

pub(super) fn lost() -> OutboxError {
    OutboxError::Postgres("the control connection is lost".to_owned())
}
