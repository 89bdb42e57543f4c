//! The consumer: opened, run, and ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use secrecy::SecretString;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::context::{Context, Stream};
use super::control::Control;
use super::group::Group;
use super::handler::Handler;
use super::health::{Health, Part};
use super::housekeeping::Housekeeper;
use super::lifecycle::{Ended, Lifecycle};
use super::memory::Memory;
use super::observer::Observer;
use super::reader::Reader;
use super::runner::Runner;
use super::settings::{BadSetting, Settings};
use outflow_connect::redis::{BadUrl, Redis};

/// How often what the handler needs is asked whether it answers.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// How long a stop waits for Redis, for each of its last words.
const LAST_PATIENCE: Duration = Duration::from_secs(3);
/// Entries on their way from the readers to the schedule; those wait in memory anyway.
const ARRIVALS: usize = 64;

/// A member of a consumer group that hands entries to a handler: those of a key in order, those of
/// different keys concurrently.
#[must_use]
pub struct Consumer<H> {
    context: Context<H>,
    /// The connection for commands is the consumer's own, and ends with it.
    owned: Option<Redis>,
}

/// Why a consumer cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The address of Redis cannot be used.
    #[error("the address of Redis: {0}")]
    Url(#[from] BadUrl),
    /// A setting cannot be used with this Redis.
    #[error(transparent)]
    Setting(#[from] BadSetting),
}

impl<H: Handler> Consumer<H> {
    /// Starts to connect in the background. Nothing is read before [`Consumer::run`].
    ///
    /// The address is `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS,
    /// `redis-cluster://` for a cluster, or `redis-sentinel://` for the master that sentinels name.
    ///
    /// # Errors
    /// [`OpenError`] if the address or, on a cluster, the name of a stream cannot be used.
    pub fn open(
        url: impl Into<SecretString>,
        settings: Settings,
        handler: H,
    ) -> Result<Self, OpenError> {
        let redis = Redis::open(&url.into(), "outflow-consumer")?;
        let consumer = Self::with_connection(&redis, settings, handler)?;
        Ok(Self { owned: Some(redis), ..consumer })
    }

    /// As [`Consumer::open`], over a connection of the caller's, which may have TLS settings of its
    /// own ([`Redis::open_with_tls`]) and may be shared with others. For the blocking reads the
    /// consumer opens another one per stream, with the same settings.
    ///
    /// # Errors
    /// As [`Consumer::open`].
    pub fn with_connection(
        redis: &Redis,
        settings: Settings,
        handler: H,
    ) -> Result<Self, OpenError> {
        if redis.is_cluster() {
            settings.streams.iter().try_for_each(|source| source.check_slots(&settings.group))?;
        }
        if settings.attempt_timeout >= settings.claim_idle {
            tracing::warn!(
                attempt_timeout = ?settings.attempt_timeout,
                claim_idle = ?settings.claim_idle,
                "if Redis does not answer, another consumer may take over an entry in the middle \
                    of an attempt: set claim_idle longer than attempt_timeout"
            );
        }
        let mut streams = Vec::with_capacity(settings.streams.len());
        for source in &settings.streams {
            let waits = redis.another("outflow-consumer-wait")?;
            streams.push(Stream::new(Group::new(redis.clone(), waits, source, &settings)));
        }
        let context = Context {
            handler,
            lifecycle: Lifecycle::default(),
            control: Control::new(settings.streams.iter().map(|source| source.stream.as_str())),
            settings,
            observer: Box::new(()),
            streams,
            settled: Notify::new(),
        };
        Ok(Self { context, owned: None })
    }

    /// Gives the consumer an observer: `Metrics` for Prometheus, or your own. Default: none.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.context.observer = Box::new(observer);
        self
    }

    /// A handle that pauses and resumes the consumer, and knows how far its group is behind.
    pub fn control(&self) -> Control {
        self.context.control.clone()
    }

    /// What is known of Redis and of what the handler needs; stays up to date while the consumer
    /// runs.
    pub fn health(&self) -> Health {
        self.context.lifecycle.health.clone()
    }

    /// Consumes until `stop` is canceled, and returns why it ended. Running attempts are finished
    /// first; everything else is given back, and other consumers take it over at once. Outages are
    /// waited out; refused credentials end the run ([`Ended::LoginRefused`]). Do not drop the
    /// future instead: that cancels handlers at once.
    ///
    /// A stop ends whatever hangs: after [`stop_grace`](super::SettingsBuilder::stop_grace) it
    /// cancels handlers, and a few seconds later it leaves what Redis has not answered to the
    /// consumer that takes over.
    pub async fn run(mut self, stop: CancellationToken) -> Ended {
        // A child: the end of this consumer is not that of whatever else the caller stops.
        self.context.lifecycle.stop = stop.child_token();
        let context = Arc::new(self.context);
        let memory = Arc::new(Memory::new(&context.settings));
        let (sender, mut arrivals) = mpsc::channel(ARRIVALS);
        // Dropped with this future, so that nothing goes on behind its back.
        let mut readers = JoinSet::new();
        let mut housekeepers = JoinSet::new();
        for stream in 0..context.streams.len() {
            let (arrived, memory) = (sender.clone(), Arc::clone(&memory));
            readers.spawn(Reader { context: Arc::clone(&context), stream, memory, arrived }.run());
            housekeepers.spawn(Housekeeper { context: Arc::clone(&context), stream }.run());
        }
        housekeepers.spawn(probe_on(Arc::clone(&context)));
        let mut runner = Runner::new(&context, memory);
        runner.work(&mut arrivals).await;
        runner.finish().await;
        drop(runner);
        housekeepers.shutdown().await;
        give_back(&context).await;
        if let Some(redis) = self.owned {
            let _ = tokio::time::timeout(LAST_PATIENCE, redis.close()).await;
        }
        context.lifecycle.ended()
    }
}

impl<H> fmt::Debug for Consumer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("settings", &self.context.settings).finish_non_exhaustive()
    }
}

/// Gives back what is left, as far as Redis answers.
async fn give_back<H: Handler>(context: &Context<H>) {
    let giving_back = context.streams.iter().map(async |stream| {
        match tokio::time::timeout(LAST_PATIENCE, stream.group.give_back()).await {
            Ok(Ok(0)) => {}
            Ok(Ok(count)) => {
                tracing::info!(stream = stream.group.stream, count, "gave back what was not done");
            }
            Ok(Err(failure)) => {
                tracing::debug!(%failure, "nothing given back: taken over after claim_idle");
            }
            Err(_elapsed) => tracing::warn!(
                "nothing given back, Redis does not answer: taken over after claim_idle"
            ),
        }
    });
    join_all(giving_back).await;
}

/// Asks from time to time whether what the handler needs answers: frozen, it closes no connection,
/// and without entries nobody else would notice.
async fn probe_on<H: Handler>(context: Arc<Context<H>>) {
    loop {
        match context.probe().await {
            Ok(()) => context.lifecycle.health.up(Part::Probe),
            Err(cause) => context.lifecycle.health.down(Part::Probe, &cause),
        }
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}
