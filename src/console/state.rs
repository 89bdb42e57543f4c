//! What every page can use: the configuration in force, connections, who may come in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::access::{Access, Viewer};
use super::history::History;
use super::in_force::InForce;
use super::jobs::Jobs;
use super::live::{Live, Seen};
use super::places::{Limits, Place, Places};
use super::said::{Board, Said};
use super::servers::{Lent, Servers};
use crate::config::Config;
use crate::observe::outboxes::Outboxes;
use crate::operate::check::Findings;
use outflow_connect::redis::Redis;
use outflow_core::fault::Fault;

/// Pages at once that ask Redis about every stream: together they leave room on the connection.
const MANY_MAX: usize = 2;
/// Searches for an event at once.
const SEARCHES_MAX: usize = 2;
/// How long a page waits for one of the two before it says that others are asking.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pages that are kept up to date at once. Browsers open six connections to a host at most.
const LIVE: Limits = Limits { all: 64, name: 32, session: 8 };
/// Requests that are being answered at once, those included whose browser has left.
const IN_HAND: Limits = Limits { all: 128, name: 96, session: 48 };
/// A stop waits so long for actions and jobs under way.
const FINISH_LIMIT: Duration = Duration::from_secs(10);

/// What a check has found.
#[derive(Clone)]
pub(super) struct Checked {
    pub(super) at: Instant,
    pub(super) config: Arc<Config>,
    pub(super) findings: Arc<Findings>,
}

/// The console. Clones share it.
#[derive(Clone)]
pub(super) struct Console(Arc<Inner>);

struct Inner {
    in_force: InForce,
    port: u16,
    access: Access,
    servers: Arc<Servers>,
    history: Arc<History>,
    live: Arc<Live>,
    watching: Places,
    in_hand: Places,
    /// One check at a time: it asks much of both servers.
    checking: tokio::sync::Mutex<Option<Checked>>,
    many: Semaphore,
    searching: Semaphore,
    board: Board,
    jobs: Arc<Jobs>,
    acting: TaskTracker,
    looking: TaskTracker,
}

impl Console {
    /// `own`: the figures of the relay that it is a part of.
    ///
    /// # Errors
    /// A token cannot be read.
    pub(super) fn new(
        config: watch::Receiver<Arc<Config>>,
        own: Option<Outboxes>,
        port: u16,
    ) -> Result<Self, Fault> {
        let in_force = InForce::new(config)?;
        let access = Access::new(&in_force.now().console)?;
        let (servers, history) = (Arc::new(Servers::new()), Arc::new(History::new(own)));
        let live = Arc::new(Live::new(Arc::clone(&servers), Arc::clone(&history)));
        Ok(Self(Arc::new(Inner {
            in_force,
            port,
            access,
            servers,
            history,
            live,
            watching: Places::new(LIVE),
            in_hand: Places::new(IN_HAND),
            checking: tokio::sync::Mutex::default(),
            many: Semaphore::new(MANY_MAX),
            searching: Semaphore::new(SEARCHES_MAX),
            board: Board::default(),
            jobs: Arc::default(),
            acting: TaskTracker::new(),
            looking: TaskTracker::new(),
        })))
    }

    /// The configuration in force; a reload changes it.
    pub(super) fn config(&self) -> Arc<Config> {
        self.0.in_force.now()
    }

    /// The same with the addresses of the relay, which are what a check looks at.
    pub(super) fn config_of_relay(&self) -> Arc<Config> {
        self.0.in_force.given()
    }

    /// A session with Postgres; one of few, so give it back by [`Lent::done`]. It has no settings
    /// of its own: run what looks through `outflow_connect::postgres::scoped`, with a limit on its
    /// time.
    ///
    /// # Errors
    /// Postgres cannot be reached, or all are busy.
    pub(super) async fn postgres(&self) -> Result<Lent, Fault> {
        self.0.servers.postgres(&self.config()).await
    }

    /// The connection to Redis, which all pages share: no blocking command, nothing long.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub(super) async fn redis(&self) -> Result<Redis, Fault> {
        self.0.servers.redis(&self.config()).await
    }

    /// Held by a page while it asks Redis about every stream.
    ///
    /// # Errors
    /// Others have asked for long.
    pub(super) async fn asks_many(&self) -> Result<SemaphorePermit<'_>, Fault> {
        one_of(&self.0.many, "other pages ask about all streams just now").await
    }

    /// Held by a page while it searches for an event, over connections of its own.
    ///
    /// # Errors
    /// Others have searched for long.
    pub(super) async fn searches(&self) -> Result<SemaphorePermit<'_>, Fault> {
        one_of(&self.0.searching, "other searches are at work").await
    }

    pub(super) fn access(&self) -> &Access {
        &self.0.access
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port
    }

    pub(super) fn history(&self) -> &History {
        &self.0.history
    }

    pub(super) async fn now(&self) -> Option<Arc<Seen>> {
        self.0.live.now(&self.config()).await
    }

    /// Held by a page for as long as it is kept up to date.
    pub(super) fn watching(&self, viewer: &Viewer) -> Option<Place> {
        self.0.watching.take(viewer)
    }

    /// Held by a request until it was answered, whether or not the browser waits for it.
    pub(super) fn in_hand(&self, viewer: &Viewer) -> Option<Place> {
        self.0.in_hand.take(viewer)
    }

    pub(super) fn jobs(&self) -> &Arc<Jobs> {
        &self.0.jobs
    }

    /// Held by whoever checks; what was found the last time.
    pub(super) async fn checking(&self) -> tokio::sync::MutexGuard<'_, Option<Checked>> {
        self.0.checking.lock().await
    }

    pub(super) fn say(&self, viewer: &Viewer, said: Said) -> Option<String> {
        self.0.board.put(&viewer.name, said)
    }

    pub(super) fn said(&self, viewer: &Viewer, id: &str) -> Option<Said> {
        self.0.board.get(&viewer.name, id)
    }

    /// Runs an action to its end, also if the browser leaves.
    pub(super) async fn finish(
        &self,
        action: impl Future<Output = Response> + Send + 'static,
    ) -> Response {
        let done = self.0.acting.spawn(action).await;
        done.unwrap_or_else(|_panic| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }

    /// Makes a page to its end, also if the browser leaves: the servers go on with what they were
    /// asked, so that places and connections are not to be had before. A stop does not wait for it.
    pub(super) async fn look(
        &self,
        page: impl Future<Output = Response> + Send + 'static,
    ) -> Response {
        let done = self.0.looking.spawn(page).await;
        done.unwrap_or_else(|_panic| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }

    /// Waits for the actions and jobs under way, but not for a server that is silent.
    pub(super) async fn finished(&self) {
        self.0.acting.close();
        let all = async {
            self.0.acting.wait().await;
            self.0.jobs.ended().await;
        };
        if timeout(FINISH_LIMIT, all).await.is_err() {
            tracing::warn!(
                actions = self.0.acting.len(),
                jobs = self.0.jobs.running(),
                "actions of the console were cut off: a server did not answer"
            );
        }
    }

    /// What is to be done every few seconds; none of it asks a server.
    pub(super) async fn keep_house(&self) {
        self.0.history.sample_own();
        self.0.servers.close_idle().await;
    }
}

async fn one_of<'a>(few: &'a Semaphore, why: &str) -> Result<SemaphorePermit<'a>, Fault> {
    match timeout(PATIENCE, few.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(Fault::failed(why).remedy("try again in a few seconds")),
    }
}
