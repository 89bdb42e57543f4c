//! The control connection: the member's seat, its sleep lock, and the notifications that wake it.
//!
//! A direct session, not one of a transaction pooler: session locks and LISTEN live and die with
//! it. It is driven here because deadpool's sessions throw notifications away.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select, try_join3};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Row};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::refusal::{failed, within};
use super::{OutboxError, Woken, lock, pauses};
use crate::relay::pause::Pauses;
use outflow_connect::postgres::{self, Connection, Server};

/// `idle_session_timeout` ends the session of a frozen host, whose kernel still answers keepalives.
const SESSION: &str =
    "set statement_timeout = '10s'; set lock_timeout = '5s'; set idle_session_timeout = '10s'";
/// Well below `idle_session_timeout`.
const PING_PAUSE: Duration = Duration::from_secs(3);
const TAKE_SEAT: &str = include_str!("sql/take_seat.sql");
const TRY_LOCK: &str = "select pg_try_advisory_lock($1, $2)";
const UNLOCK: &str = "select pg_advisory_unlock($1, $2)";
/// Nobody else knows the number.
const PROVE: &str = "select pg_advisory_lock($1)";
const IN_FORCE: &str = "select generation from outflow.outbox where relation = $1::oid";
/// What the member that owns slot 0 tells the others when it falls asleep; anything else means that
/// somebody is awake.
const ASLEEP: &str = "asleep";
const AWAKE: &str = "awake";
/// What a member is told of a parked stream that is to be tried now: this, and its name.
pub const TRY: &str = "try ";
/// Streams that are remembered until they are tried.
const WANTED_MAX: usize = 1_000;
/// Of [`Waiter::sleeper`]: the rest counts what was heard.
const ASLEEP_BIT: u64 = 1;
const IS_HELD: &str = include_str!("sql/is_held.sql");

/// An open control session.
pub(super) struct Control {
    client: Arc<Client>,
    oid: u32,
    seat: i32,
    waiter: Waiter,
    /// Whether this session holds the sleep lock, which counts re-entries.
    holds_wake: AtomicBool,
    _driver: AbortOnDropHandle<()>,
    _pinger: AbortOnDropHandle<()>,
}

/// Waits for notifications of a session.
#[derive(Clone)]
pub(super) struct Waiter {
    /// Something may have been inserted.
    inserted: Arc<Notify>,
    /// The members or the share-out may have changed.
    members: Arc<Notify>,
    /// Whether the owner of slot 0 sleeps, as far as is known, and how often something was heard.
    sleeper: Arc<AtomicU64>,
    /// Parked streams that somebody wants tried now.
    wanted: Arc<Mutex<BTreeSet<String>>>,
    closed: CancellationToken,
}

/// The share-out and the pauses as any member sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) generation: i64,
    /// Live members.
    pub(super) live: Vec<i32>,
    pub(super) pauses: Pauses,
}

impl Control {
    /// Connects and takes a seat, which is given up by the end of this session, however that comes
    /// about.
    ///
    /// `proof`: the number under which it proves to lent sessions where it is.
    pub(super) async fn connect(
        server: &Server,
        oid: u32,
        mapping: &str,
        proof: Option<i64>,
    ) -> Result<Self, OutboxError> {
        let server = server.named("outflow control");
        let (client, connection) =
            within(async { server.connect().await.map_err(|error| failed(&error)) }).await?;
        let client = Arc::new(client);
        let waiter = Waiter {
            inserted: Arc::new(Notify::new()),
            members: Arc::new(Notify::new()),
            sleeper: Arc::new(AtomicU64::new(0)),
            wanted: Arc::default(),
            closed: CancellationToken::new(),
        };
        let members = members_channel(oid);
        let driver = outflow_core::task::owned(drive(connection, waiter.clone(), members.clone()));
        let pinger = outflow_core::task::owned(ping(Arc::clone(&client), waiter.closed.clone()));
        if proof.is_some() {
            own_session(&server, &client).await?;
        }
        // LISTEN is committed before the first claim looks at the table.
        let set_up =
            format!("{}; listen outflow_{oid}; listen {members}", postgres::session(SESSION));
        within(async { client.batch_execute(&set_up).await.map_err(|error| failed(&error)) })
            .await?;
        if let Some(proof) = proof {
            query(&client, PROVE, &[(&proof, Type::INT8)]).await?;
        }
        let seat = take_seat(&client, oid, mapping).await?;
        let holds_wake = AtomicBool::new(false);
        let control =
            Self { client, oid, seat, waiter, holds_wake, _driver: driver, _pinger: pinger };
        control.notify(&members, "").await?;
        Ok(control)
    }

    pub(super) fn is_alive(&self) -> bool {
        self.waiter.is_alive() && !self.client.is_closed()
    }

    /// Cancelled when the session has ended, or is given up.
    pub(super) fn closed(&self) -> CancellationToken {
        self.waiter.closed.clone()
    }

    /// Learns whether somebody sleeps when a share-out begins: who kept the sleep lock may be gone
    /// without a word. What is heard meanwhile is younger, and counts instead.
    pub(super) async fn learn_who_sleeps(&self) -> Result<(), OutboxError> {
        let known = self.waiter.sleeper.load(Ordering::Acquire);
        let key = (lock::WAKE, lock::key(self.oid));
        let rows = self.query(IS_HELD, &[(&key.0, Type::INT4), (&key.1, Type::INT4)]).await?;
        let asleep = rows.first().is_some_and(|row| row.get(0));
        let learned = known & !ASLEEP_BIT | u64::from(asleep);
        let _ = self.waiter.sleeper.compare_exchange(
            known,
            learned,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        Ok(())
    }

    pub(super) fn seat(&self) -> i32 {
        self.seat
    }

    pub(super) fn waiter(&self) -> Waiter {
        self.waiter.clone()
    }

    /// Looks at what is paused.
    pub(super) async fn pauses(&self) -> Result<Pauses, OutboxError> {
        let rows = self.query(pauses::PAUSES, &[(&self.oid, Type::OID)]).await?;
        pauses::of_rows(&rows).map_err(|error| failed(&error))
    }

    /// Looks at the share-out, at who lives, and at what is paused.
    pub(super) async fn look(&self) -> Result<Seen, OutboxError> {
        // One round trip.
        let (in_force, live, pauses) = try_join3(
            self.query(IN_FORCE, &[(&self.oid, Type::OID)]),
            self.query(
                include_str!("sql/live.sql"),
                &[(&self.oid, Type::OID), (&lock::SEAT, Type::INT4)],
            ),
            self.pauses(),
        )
        .await?;
        let in_force = in_force
            .first()
            .ok_or_else(|| OutboxError::Postgres("the registration is gone".to_owned()))?;
        let live = live.iter().map(|row| row.get(0)).collect();
        Ok(Seen { generation: in_force.get(0), live, pauses })
    }

    /// Takes the sleep lock if no writer holds it shared. Only ever tries: a waiter would make
    /// every writer notify.
    pub(super) async fn fall_asleep(&self, others: bool) -> Result<bool, OutboxError> {
        if !self.holds_wake.load(Ordering::Acquire) {
            if !self.lock_call(TRY_LOCK, lock::WAKE).await? {
                return Ok(false);
            }
            self.holds_wake.store(true, Ordering::Release);
            if others {
                self.notify(&insert_channel(self.oid), ASLEEP).await?;
            }
        }
        self.waiter.clear();
        Ok(true)
    }

    /// For a member that does not own slot 0: whether the one that does sleeps, so that writers
    /// notify.
    pub(super) fn sleeper_sleeps(&self) -> bool {
        self.waiter.clear();
        self.waiter.sleeper.load(Ordering::Acquire) & ASLEEP_BIT != 0
    }

    pub(super) async fn get_up(&self, others: bool) -> Result<(), OutboxError> {
        if !self.holds_wake.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        self.lock_call(UNLOCK, lock::WAKE).await?;
        if others {
            self.notify(&insert_channel(self.oid), AWAKE).await?;
        }
        Ok(())
    }

    /// Gives the seat up and tells the others.
    pub(super) async fn leave(self) -> Result<(), OutboxError> {
        self.lock_call(UNLOCK, lock::SEAT).await?;
        self.notify(&members_channel(self.oid), "").await
    }

    async fn notify(&self, channel: &str, payload: &str) -> Result<(), OutboxError> {
        self.query("select pg_notify($1, $2)", &[(&channel, Type::TEXT), (&payload, Type::TEXT)])
            .await
            .map(drop)
    }

    async fn lock_call(&self, statement: &str, class: i32) -> Result<bool, OutboxError> {
        let key = if class == lock::SEAT { self.seat } else { lock::key(self.oid) };
        let rows = self.query(statement, &[(&class, Type::INT4), (&key, Type::INT4)]).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    async fn query(
        &self,
        statement: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, OutboxError> {
        query(&self.client, statement, params).await
    }
}

/// The session ends with it; whoever still waits is told.
impl Drop for Control {
    fn drop(&mut self) {
        self.waiter.closed.cancel();
    }
}

/// Where poolers are in use, an address may lead to another one than before.
async fn own_session(server: &Server, client: &Client) -> Result<(), OutboxError> {
    match postgres::shares_sessions(server, client).await {
        Ok(false) => Ok(()),
        Ok(true) => {
            let what =
                format!("postgres.control_url: {}; {}", postgres::POOLED, postgres::UNPOOLED);
            Err(OutboxError::Postgres(what))
        }
        Err(why) => Err(OutboxError::Postgres(why)),
    }
}

async fn query(
    client: &Client,
    statement: &str,
    params: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, OutboxError> {
    within(async { client.query_typed(statement, params).await.map_err(|error| failed(&error)) })
        .await
}

async fn take_seat(client: &Client, oid: u32, mapping: &str) -> Result<i32, OutboxError> {
    let host = nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let pid = i32::try_from(std::process::id()).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let params: [(&(dyn ToSql + Sync), Type); 6] = [
        (&oid, Type::OID),
        (&host, Type::TEXT),
        (&pid, Type::INT4),
        (&version, Type::TEXT),
        (&mapping, Type::TEXT),
        (&lock::SEAT, Type::INT4),
    ];
    match query(client, TAKE_SEAT, &params).await?.first() {
        Some(row) if row.get(1) => Ok(row.get(0)),
        None => Err(OutboxError::Changed("the table is no longer registered".to_owned())),
        Some(_) => {
            Err(OutboxError::Postgres("the seat is taken: two schemas share a database".to_owned()))
        }
    }
}

fn insert_channel(oid: u32) -> String {
    format!("outflow_{oid}")
}

fn members_channel(oid: u32) -> String {
    format!("outflow_members_{oid}")
}

impl Waiter {
    /// Waits until something may have been inserted, at most `limit`. What came since
    /// [`Waiter::clear`] counts.
    pub(super) async fn inserted(&self, limit: Duration) -> Woken {
        self.wait(&self.inserted, limit).await
    }

    /// Waits until the members may have changed, at most `limit`.
    pub(super) async fn members(&self, limit: Duration) -> Woken {
        self.wait(&self.members, limit).await
    }

    async fn wait(&self, notify: &Notify, limit: Duration) -> Woken {
        let notified = std::pin::pin!(notify.notified());
        let closed = std::pin::pin!(self.closed.cancelled());
        match tokio::time::timeout(limit, select(notified, closed)).await {
            Ok(Either::Left(_)) => Woken::Notified,
            Ok(Either::Right(_)) => Woken::Disconnected,
            Err(_elapsed) => Woken::Elapsed,
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.closed.is_cancelled()
    }

    /// What was said on the channel of the members. Whoever floods it is not remembered for ever.
    fn want(&self, payload: &str) {
        let Some(stream) = payload.strip_prefix(TRY) else { return };
        let mut wanted = self.wanted.lock();
        if wanted.len() < WANTED_MAX {
            wanted.insert(stream.to_owned());
        }
    }

    /// Whether somebody wants streams tried.
    pub(super) fn is_asked(&self) -> bool {
        !self.wanted.lock().is_empty()
    }

    /// Takes these streams.
    pub(super) fn take_wanted(&self) -> Vec<String> {
        std::mem::take(&mut *self.wanted.lock()).into_iter().collect()
    }

    fn hear(&self, asleep: bool) {
        let heard = |known: u64| Some((known & !ASLEEP_BIT).wrapping_add(2) | u64::from(asleep));
        let _ = self.sleeper.fetch_update(Ordering::AcqRel, Ordering::Acquire, heard);
    }

    fn clear(&self) {
        // Takes the stored permit, if there is one, without waiting.
        let _ = self.inserted.notified().now_or_never();
    }
}

/// Drives the connection until it ends. Any number of notifications is one wake-up.
async fn drive(mut connection: Connection, waiter: Waiter, members: String) {
    loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(heard))) if heard.channel() == members => {
                waiter.want(heard.payload());
                waiter.members.notify_one();
            }
            Some(Ok(AsyncMessage::Notification(heard))) => {
                waiter.hear(heard.payload() == ASLEEP);
                waiter.inserted.notify_one();
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(error = %error, "the control connection has closed");
                break;
            }
            None => break,
        }
    }
    waiter.closed.cancel();
}

/// Keeps the session from idling out, and notices a server that is silent.
async fn ping(client: Arc<Client>, closed: CancellationToken) {
    while !closed.is_cancelled() {
        tokio::time::sleep(PING_PAUSE).await;
        let answer = tokio::time::timeout(PING_PAUSE, client.check_connection()).await;
        if !matches!(answer, Ok(Ok(()))) {
            closed.cancel();
        }
    }
}
