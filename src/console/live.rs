//! How the outboxes stand, asked once for all who look, at most once a second, and never while
//! nobody does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::history::History;
use super::servers::Servers;
use crate::config::Config;
use crate::operate::status::{self, Status};
use outflow_core::task;

/// Younger than this, it is shown again.
const AGE_MIN: Duration = Duration::from_secs(1);
/// An answer that took t is shown for at least 10 t, up to this.
const AGE_MAX: Duration = Duration::from_secs(5);
const DUTY: u32 = 10;
/// How long a page waits for an answer: then it shows the last one, or says that none has come.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What was found out, and when.
pub(super) struct Seen {
    pub(super) status: Status,
    at: Instant,
    took: Duration,
    config: Arc<Config>,
}

impl Seen {
    /// Whether it need not be asked again.
    fn is_fresh(&self, config: &Arc<Config>) -> bool {
        let age = (self.took * DUTY).clamp(AGE_MIN, AGE_MAX);
        Arc::ptr_eq(&self.config, config) && self.at.elapsed() < age
    }

    /// Whether it is older than what is usually shown: a server takes its time.
    pub(super) fn is_old(&self) -> bool {
        self.at.elapsed() > AGE_MAX + PATIENCE
    }
}

/// Shared by all who look.
pub(super) struct Live {
    servers: Arc<Servers>,
    history: Arc<History>,
    latest: watch::Sender<Option<Arc<Seen>>>,
    asking: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Live {
    pub(super) fn new(servers: Arc<Servers>, history: Arc<History>) -> Self {
        Self { servers, history, latest: watch::Sender::new(None), asking: Mutex::default() }
    }

    /// How things stand, or how they stood if no answer comes soon; `None` before the first.
    pub(super) async fn now(self: &Arc<Self>, config: &Arc<Config>) -> Option<Arc<Seen>> {
        let mut seen = self.latest.subscribe();
        let known = seen.borrow_and_update().clone();
        if let Some(known) = known.filter(|known| known.is_fresh(config)) {
            return Some(known);
        }
        self.ask(config);
        let _ = timeout(PATIENCE, seen.changed()).await;
        let latest = seen.borrow().clone();
        latest.filter(|latest| Arc::ptr_eq(&latest.config, config))
    }

    /// One question at a time, which goes on although nobody waits for it any more.
    fn ask(self: &Arc<Self>, config: &Arc<Config>) {
        let mut asking = self.asking.lock();
        if asking.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (live, config) = (Arc::downgrade(self), Arc::clone(config));
        let servers = Arc::clone(&self.servers);
        *asking = Some(task::owned(async move {
            let at = Instant::now();
            let status = status_now(&servers, &config).await;
            let Some(live) = live.upgrade() else { return };
            live.history.sample_seen(&status);
            let seen = Seen { status, at: Instant::now(), took: at.elapsed(), config };
            live.latest.send_replace(Some(Arc::new(seen)));
        }));
    }
}

/// Between a server's own limit for a statement and what somebody would wait for.
const SILENCE_MAX: Duration = Duration::from_secs(12);

/// Both servers at once: one that is silent does not hide the other.
async fn status_now(servers: &Servers, config: &Arc<Config>) -> Status {
    let postgres = timeout(SILENCE_MAX, of_postgres(servers, config));
    let (status, redis) = tokio::join!(postgres, servers.redis(config));
    let mut status = match status {
        Ok(status) => status,
        // A server that is frozen, with the session that it was asked in.
        Err(_elapsed) => {
            let silent = format!("no answer for {} s", SILENCE_MAX.as_secs());
            status::of_postgres(config, Err(silent)).await
        }
    };
    status.redis_problem = redis.err().map(|fault| fault.to_string());
    status
}

async fn of_postgres(servers: &Servers, config: &Arc<Config>) -> Status {
    let client = servers.postgres(config).await.map_err(|fault| fault.to_string());
    let session = client.as_deref().map_err(String::clone);
    let status = status::of_postgres(config, session).await;
    if status.postgres_problem.is_none()
        && let Ok(client) = client
    {
        client.done();
    }
    status
}
