//! Connections to both servers: made when a page needs one, few, and closed when nobody looks.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::config::Config;
use outflow_connect::postgres::connect;
use outflow_connect::redis::{Args, Failure, Redis};
use outflow_core::fault::Fault;

/// Sessions in Postgres, however many look.
const SESSIONS_MAX: usize = 4;
/// How long a page waits for one, and for a server that does not answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// A connection that nobody has used for this long is closed.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// Both servers, as the configuration in force names them.
pub(super) struct Servers {
    permits: Arc<Semaphore>,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    /// The configuration that they were made with.
    config: Option<Arc<Config>>,
    sessions: Vec<(Client, Instant)>,
    redis: Option<(Redis, Instant)>,
    /// Those of another configuration.
    left: Vec<Redis>,
}

/// A session with Postgres for the time of a request. Give it back with [`Lent::done`] when nothing
/// is under way in it any more; otherwise it is closed, so that a request that is cut off in a
/// transaction leaves it to nobody else.
pub(super) struct Lent {
    client: Client,
    held: Arc<Mutex<Held>>,
    config: Arc<Config>,
    _permit: OwnedSemaphorePermit,
}

impl Servers {
    pub(super) fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(SESSIONS_MAX)), held: Arc::default() }
    }

    pub(super) async fn postgres(&self, config: &Arc<Config>) -> Result<Lent, Fault> {
        let permit = timeout(PATIENCE, Arc::clone(&self.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            let what = "all sessions of the console are busy";
            return Err(Fault::unreachable(what).remedy("try again in a few seconds"));
        };
        let known = {
            let mut held = self.held.lock();
            held.of(config);
            held.sessions.retain(|(client, _)| !client.is_closed());
            held.sessions.pop()
        };
        let client = match known {
            Some((client, _)) => client,
            None => new_session(config).await?,
        };
        Ok(Lent {
            client,
            held: Arc::clone(&self.held),
            config: Arc::clone(config),
            _permit: permit,
        })
    }

    pub(super) async fn redis(&self, config: &Arc<Config>) -> Result<Redis, Fault> {
        let redis = {
            let mut held = self.held.lock();
            held.of(config);
            match &mut held.redis {
                Some((redis, used)) => {
                    *used = Instant::now();
                    redis.clone()
                }
                none => {
                    let redis = Redis::connect(&config.redis, "outflow console");
                    let redis = redis.map_err(|bad| Fault::from(bad).at("redis.url"))?;
                    *none = Some((redis.clone(), Instant::now()));
                    redis
                }
            }
        };
        let away = |failure: Failure| Fault::unreachable(failure.to_string());
        redis.ready(PATIENCE).await.map_err(away)?;
        // A frozen server keeps its connections.
        match timeout(PATIENCE, redis.call("PING", Args::default())).await {
            Ok(Ok(_)) => Ok(redis),
            // Whoever may not ask this has an answer, too.
            Ok(Err(failure)) if failure.is_withheld() => Ok(redis),
            Ok(Err(failure)) => Err(away(failure)),
            Err(_elapsed) => {
                let seconds = PATIENCE.as_secs();
                Err(Fault::unreachable(format!("Redis has not answered for {seconds} s")))
            }
        }
    }

    /// Closes what nobody has used for a while.
    pub(super) async fn close_idle(&self) {
        let idle = {
            let mut held = self.held.lock();
            held.sessions.retain(|(_, used)| used.elapsed() < IDLE_MAX);
            let is_idle = held.redis.as_ref().is_some_and(|(_, used)| used.elapsed() >= IDLE_MAX);
            let idle = if is_idle { held.redis.take() } else { None };
            held.left.drain(..).chain(idle.map(|(redis, _)| redis)).collect::<Vec<_>>()
        };
        for redis in idle {
            redis.close().await;
        }
    }
}

async fn new_session(config: &Config) -> Result<Client, Fault> {
    let server = config.postgres.named_by_default("outflow console");
    match timeout(PATIENCE, connect(&server)).await {
        Ok(client) => client,
        Err(_elapsed) => {
            let what = format!("{}: no answer for {} s", server.place(), PATIENCE.as_secs());
            Err(Fault::unreachable(what))
        }
    }
}

impl Held {
    /// Forgets connections to where another configuration leads.
    fn of(&mut self, config: &Arc<Config>) {
        if !self.config.as_ref().is_some_and(|known| Arc::ptr_eq(known, config)) {
            self.left.extend(self.redis.take().map(|(redis, _)| redis));
            self.sessions.clear();
            self.config = Some(Arc::clone(config));
        }
    }
}

impl Lent {
    /// Gives it back: nothing is under way in it.
    pub(super) fn done(self) {
        let Self { client, held, config, .. } = self;
        let mut held = held.lock();
        if held.config.as_ref().is_some_and(|known| Arc::ptr_eq(known, &config)) {
            held.sessions.push((client, Instant::now()));
        }
    }
}

impl Deref for Lent {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}
