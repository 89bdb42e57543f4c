//! One event table in Postgres as an [`Outbox`]: its connections and what it remembers between
//! claims.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Mutex as AsyncMutex;

use super::claim::PgClaim;
use super::control::{Control, Seen, Waiter};
use super::cursor::Cursor;
use super::held::Held;
use super::identity::{self, noted};
use super::in_flight::InFlight;
use super::recovery::PgRecovery;
use super::slots::{self, ALL};
use super::sweep::Suspicion;
use super::table::Table;
use super::unsettled::LeftOut;
use super::{Outbox, OutboxError, SetAside, Woken};
use crate::config::OutboxConfig;
use crate::event::Acknowledged;
use outflow_connect::postgres::{Server, describe_pool, pool};

/// Longer than the statement timeout of the sessions: what still has no answer then has lost its
/// server.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(40);
/// What each session of the pool relies on.
pub(crate) const SESSION: &str = include_str!("sql/session.sql");
/// How long a member that stops may take to say so.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);
/// How often the members are looked at when nothing is heard.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Connections beyond those of the batches in flight: recovery and sweep have their own.
pub(super) const SPARE_CONNECTIONS: usize = 2;
/// The same with those that are not of the pool: the control session, and the one that watches the
/// backlog.
pub const CONNECTIONS_BEYOND: usize = SPARE_CONNECTIONS + 2;

/// An event table, drained by one member.
pub struct PgOutbox {
    pub(super) config: OutboxConfig,
    pub(super) table: Table,
    pub(super) pool: Pool,
    pub(super) state: Arc<Mutex<State>>,
    /// How this member reads the table and where it appends: members of one share-out agree on it.
    pub(super) mapping: String,
    /// Stands for what is too long, in the answers of claims.
    pub(super) marker: String,
    server: Server,
    control: AsyncMutex<Option<Control>>,
}

/// What is remembered between claims. Never held across an await.
pub(super) struct State {
    pub(super) cursor: Cursor,
    pub(super) in_flight: InFlight,
    /// The lowest order value to look at again, from outside the claims; applied before the next
    /// one.
    pub(super) look_again: Option<i64>,
    /// The last token that was examined, and the sequence that it proves ids to come from.
    pub(super) proven: Option<(String, Option<u32>)>,
    /// Nothing that the cursor knows counts for the next claim.
    start_over: bool,
    /// A row behind the cursor that the table's proof seems to exclude.
    pub(super) suspicion: Option<Suspicion>,
    /// The generation this member works in.
    pub(super) generation: i64,
    /// The member's slots as bits.
    mask: i64,
    /// The members that lived when this generation was entered.
    live: Vec<i32>,
    /// Rows the next claim may take: fewer than configured where rows are large.
    pub(super) limit: usize,
    /// Rows that are left out of the claims for a while.
    pub(super) held: Held,
    /// Rows that were appended and that Postgres does not let go.
    pub(super) left_out: LeftOut,
    /// What was set aside and is not yet told.
    pub(super) aside: Vec<SetAside>,
    /// The control session's, whose lock need not be waited for.
    waiter: Option<Waiter>,
    /// Why the table must be examined again.
    pub(super) outdated: Option<String>,
}

impl PgOutbox {
    /// Prepares to drain `table`; connects when first used. `sink` names where it appends to.
    pub fn new(config: OutboxConfig, table: Table, server: &Server, sink: &str) -> Self {
        let mapping = mapping(&config, sink) + &table.manner;
        let size = config.in_flight + SPARE_CONNECTIONS;
        let state = State {
            cursor: Cursor::default(),
            in_flight: InFlight::default(),
            look_again: None,
            proven: None,
            start_over: false,
            suspicion: None,
            generation: 0,
            mask: 0,
            live: Vec::new(),
            limit: config.batch_rows,
            held: Held::default(),
            left_out: LeftOut::default(),
            aside: Vec::new(),
            waiter: None,
            outdated: None,
        };
        Self {
            pool: pool(server.clone(), size, SESSION),
            state: Arc::new(Mutex::new(state)),
            server: server.clone(),
            control: AsyncMutex::new(None),
            mapping,
            marker: format!("\"{}\"", uuid::Uuid::new_v4()),
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

    pub(super) async fn seat(&self) -> Result<i32, OutboxError> {
        self.with_control(async |control| Ok(control.seat())).await
    }

    /// Gives up the control session: the next join takes a new seat.
    pub(super) async fn lose_control(&self) {
        *self.control.lock().await = None;
    }

    fn waiter(&self) -> Option<Waiter> {
        locked(&self.state).waiter.clone()
    }

    /// Whether the generation is still ours, and nobody has come or gone.
    fn is_in_force(&self, seen: &Seen) -> bool {
        let state = locked(&self.state);
        seen.generation == state.generation && seen.live == state.live
    }

    async fn with_control<T>(
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

impl Outbox for PgOutbox {
    type Claim = PgClaim;
    type Recovery = PgRecovery;

    async fn join(&self) -> Result<i32, OutboxError> {
        let mut control = self.control.lock().await;
        if let Some(open) = control.as_ref().filter(|open| open.is_alive()) {
            return Ok(open.seat());
        }
        *control = None;
        let open = noted(
            &self.state,
            Control::connect(&self.server, self.table.oid, &self.mapping).await,
        )?;
        let seat = open.seat();
        locked(&self.state).waiter = Some(open.waiter());
        *control = Some(open);
        drop(control);
        self.warm_up().await;
        Ok(seat)
    }

    async fn changed(&self) {
        let Some(waiter) = self.waiter() else { return };
        loop {
            match waiter.members(LOOK_PAUSE).await {
                Woken::Disconnected => return,
                Woken::Notified | Woken::Elapsed => {}
            }
            match self.with_control(Control::look).await {
                Ok(seen) if self.is_in_force(&seen) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }

    async fn leave(&self) {
        let Some(control) = self.control.lock().await.take() else { return };
        // Unsaid, the others see it when the session is gone.
        let said = tokio::time::timeout(LEAVE_LIMIT, control.leave()).await;
        tracing::debug!(outbox = self.config.name, ?said, "left");
    }

    async fn sweep(&self, parked: &[String]) -> Duration {
        self.sweep_once(parked).await
    }

    async fn testify(&self, seen: Acknowledged) -> Result<(), OutboxError> {
        self.write_down(seen).await
    }

    async fn claim(&self, parked: &[String]) -> Result<Option<PgClaim>, OutboxError> {
        if !self.waiter().is_some_and(|waiter| waiter.is_alive()) {
            return Err(lost());
        }
        noted(&self.state, self.take(parked).await)
    }

    async fn claim_of(&self, stream: &str) -> Result<Option<PgClaim>, OutboxError> {
        if !self.waiter().is_some_and(|waiter| waiter.is_alive()) {
            return Err(lost());
        }
        noted(&self.state, self.take_of(stream).await)
    }

    fn holds_back(&self) -> bool {
        locked(&self.state).held.names().is_some()
    }

    fn set_aside(&self) -> Vec<SetAside> {
        std::mem::take(&mut locked(&self.state).aside)
    }

    async fn recover(&self) -> Result<PgRecovery, OutboxError> {
        let recovery = noted(&self.state, within(self.begin_recovery()).await)?;
        // After the members were read: whoever goes from here on is missed, and there is another
        // recovery.
        self.with_control(Control::learn_who_sleeps).await?;
        Ok(recovery)
    }

    fn outdated(&self) -> Option<String> {
        locked(&self.state).outdated.clone()
    }

    fn rewind(&self) {
        locked(&self.state).look_again_from(super::cursor::BEGINNING);
    }

    async fn fall_asleep(&self) -> Result<bool, OutboxError> {
        let (keeps_lock, others) = locked(&self.state).sleep_role();
        self.with_control(async |control| {
            if keeps_lock {
                control.fall_asleep(others).await
            } else {
                Ok(control.sleeper_sleeps())
            }
        })
        .await
    }

    async fn woken(&self, limit: Duration) -> Woken {
        match self.waiter() {
            Some(waiter) => waiter.inserted(limit).await,
            None => Woken::Disconnected,
        }
    }

    async fn get_up(&self) -> Result<(), OutboxError> {
        let (_, others) = locked(&self.state).sleep_role();
        self.with_control(async |control| control.get_up(others).await).await
    }
}

impl State {
    /// A new generation begins: what the last one left open may be anywhere.
    pub(super) fn enter(&mut self, generation: i64, shares: &[i32], seat: i32, live: &[i32]) {
        self.generation = generation;
        self.mask = slots::mask(shares, seat);
        self.live = live.to_vec();
        self.start_over = true;
    }

    /// What was found outside the claims counts from the next one on.
    pub(super) fn catch_up(&mut self) {
        if std::mem::take(&mut self.start_over) {
            self.cursor.start_over();
        }
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.is_tried = true;
            self.cursor.suspect(suspicion.order);
        }
        if let Some(order) = self.look_again.take() {
            self.cursor.rewind_below(order);
        }
    }

    /// The rows that claims leave out, and the keys that they leave out with some of them; `None`
    /// if there are none. What was appended keeps no key back.
    pub(super) fn left_behind(&self) -> Option<(Vec<String>, Vec<String>)> {
        let held = self.held.names();
        if self.left_out.rows.is_empty() {
            return held;
        }
        let (mut rows, keys) = held.unwrap_or_default();
        rows.extend(self.left_out.rows.iter().cloned());
        Some((rows, keys))
    }

    /// The next claim starts no higher than this.
    pub(super) fn look_again_from(&mut self, order: i64) {
        self.look_again = Some(self.look_again.map_or(order, |known| known.min(order)));
    }

    /// The member's slots as bits; `None` when it owns them all, so that no row needs to be hashed.
    pub(super) fn slots(&self) -> Option<i64> {
        (self.mask != ALL).then_some(self.mask)
    }

    /// Whether this member keeps the sleep lock (it owns slot 0), and whether there are others to
    /// tell.
    fn sleep_role(&self) -> (bool, bool) {
        (self.mask & 1 == 1, self.mask != ALL)
    }
}

/// What the members of one share-out must agree on, readable: it is shown when they do not.
fn mapping(config: &OutboxConfig, sink: &str) -> String {
    let OutboxConfig { stream, format, settle, columns, .. } = config;
    format!("stream {stream}; {format:?}; {settle:?}; {columns:?}; sink {sink}")
}

pub(super) fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock()
}

/// Bounds a step that only waits for the server.
pub(super) async fn within<T>(
    step: impl Future<Output = Result<T, OutboxError>> + Send,
) -> Result<T, OutboxError> {
    match tokio::time::timeout(ANSWER_LIMIT, step).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => {
            Err(OutboxError::Postgres(format!("no answer for {} s", ANSWER_LIMIT.as_secs())))
        }
    }
}

pub(super) fn failed(error: &tokio_postgres::Error) -> OutboxError {
    identity::refused(error)
}

fn lost() -> OutboxError {
    OutboxError::Postgres("the control connection is lost".to_owned())
}
