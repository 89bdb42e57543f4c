//! The control connection: the member's seat, its sleep lock, and the notifications that wake it.
//!
//! A direct session, not one of a transaction pooler: session locks and LISTEN live and die with it. It is driven here
//! because deadpool's sessions throw notifications away.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::Notify;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Socket, tls::NoTlsStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::source::{failed, within};
use super::{Joined, OutboxError, Woken, lock};

/// `idle_session_timeout` ends the session of a frozen host, whose kernel still answers keepalives.
const SESSION: &str = "set statement_timeout = '10s'; set lock_timeout = '5s'; set idle_session_timeout = '10s'";
/// Well below `idle_session_timeout`.
const PING_PAUSE: Duration = Duration::from_secs(3);
const TAKE_SEAT: &str = "select pg_try_advisory_lock($1, $2)";
const MEMBER: &str =
    "insert into outflow.member (relation, host, pid, version) values ($1::oid, $2, $3, $4) returning number";
const SLEEP: &str = "select pg_try_advisory_lock($1, $2)";
const GET_UP: &str = "select pg_advisory_unlock($1, $2)";

/// An open control session.
pub(super) struct Control {
    client: Arc<Client>,
    oid: u32,
    seat: Option<i32>,
    waiter: Waiter,
    _driver: AbortOnDropHandle<()>,
    _pinger: AbortOnDropHandle<()>,
}

/// Waits for notifications of a session.
#[derive(Clone)]
pub(super) struct Waiter {
    notified: Arc<Notify>,
    closed: CancellationToken,
}

impl Control {
    pub(super) async fn connect(server: &Config, oid: u32) -> Result<Self, OutboxError> {
        let mut server = server.clone();
        server.application_name("outflow control");
        let (client, connection) =
            within(async { server.connect(NoTls).await.map_err(|error| failed(&error)) }).await?;
        let client = Arc::new(client);
        let waiter = Waiter { notified: Arc::new(Notify::new()), closed: CancellationToken::new() };
        let driver = AbortOnDropHandle::new(tokio::spawn(drive(connection, waiter.clone())));
        let pinger = AbortOnDropHandle::new(tokio::spawn(ping(Arc::clone(&client), waiter.closed.clone())));
        // LISTEN is committed before the first claim looks at the table.
        let set_up = format!("{SESSION}; listen outflow_{oid}");
        within(async { client.batch_execute(&set_up).await.map_err(|error| failed(&error)) }).await?;
        Ok(Self { client, oid, seat: None, waiter, _driver: driver, _pinger: pinger })
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.waiter.closed.is_cancelled() && !self.client.is_closed()
    }

    pub(super) fn seat(&self) -> Option<i32> {
        self.seat
    }

    pub(super) fn waiter(&self) -> Waiter {
        self.waiter.clone()
    }

    /// Takes the seat if it is free. It is given up by the end of this session, however that comes about.
    pub(super) async fn take_seat(&mut self) -> Result<Joined, OutboxError> {
        if !self.try_lock(TAKE_SEAT, lock::SEAT).await? {
            return Ok(Joined::Standby);
        }
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let pid = i32::try_from(std::process::id()).unwrap_or_default();
        let version = env!("CARGO_PKG_VERSION");
        let number = within(async {
            let row = self.client.query_one(MEMBER, &[&self.oid, &host, &pid, &version]).await;
            Ok(row.map_err(|error| failed(&error))?.get(0))
        })
        .await?;
        self.seat = Some(number);
        Ok(Joined::Member { number })
    }

    /// Takes the sleep lock if no writer holds it shared. Only ever tries: a waiter would make every writer notify.
    pub(super) async fn fall_asleep(&self) -> Result<bool, OutboxError> {
        if !self.try_lock(SLEEP, lock::WAKE).await? {
            return Ok(false);
        }
        self.waiter.clear();
        Ok(true)
    }

    pub(super) async fn get_up(&self) -> Result<(), OutboxError> {
        self.try_lock(GET_UP, lock::WAKE).await.map(drop)
    }

    async fn try_lock(&self, statement: &str, class: i32) -> Result<bool, OutboxError> {
        let key = lock::key(self.oid);
        within(async {
            let types = [(&class as &(dyn ToSql + Sync), Type::INT4), (&key as &(dyn ToSql + Sync), Type::INT4)];
            let rows = self.client.query_typed(statement, &types).await.map_err(|error| failed(&error))?;
            Ok(rows.first().is_some_and(|row| row.get(0)))
        })
        .await
    }
}

impl Waiter {
    /// Waits for a notification, at most `limit`. One that came since the last [`Waiter::clear`] counts.
    pub(super) async fn wait(&self, limit: Duration) -> Woken {
        let notified = std::pin::pin!(self.notified.notified());
        let closed = std::pin::pin!(self.closed.cancelled());
        match tokio::time::timeout(limit, select(notified, closed)).await {
            Ok(Either::Left(_)) => Woken::Notified,
            Ok(Either::Right(_)) => Woken::Disconnected,
            Err(_elapsed) => Woken::Elapsed,
        }
    }

    fn clear(&self) {
        // Takes the stored permit, if there is one, without waiting.
        let _ = futures_util::FutureExt::now_or_never(self.notified.notified());
    }
}

/// Drives the connection until it ends. Any number of notifications is one wake-up.
async fn drive(mut connection: Connection<Socket, NoTlsStream>, waiter: Waiter) {
    loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(_))) => waiter.notified.notify_one(),
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(error = %error, "the control connection has ended");
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
