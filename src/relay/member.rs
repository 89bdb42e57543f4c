//! A member's days: join, recover, work, rest; and from trouble back to where it is safe to go on.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

use super::Relay;
use super::session::Session;
use super::trouble::{Cause, Trouble};
use crate::outbox::{Joined, Outbox, OutboxError, Recovery, Woken};
use crate::sink::Sink;

/// Pauses while a server is down: from the first to the longest, with jitter, for ever.
const OUTAGE_PAUSE_MIN: Duration = Duration::from_millis(100);
const OUTAGE_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Pauses while writers are between insert and commit, so that nobody can fall asleep.
const AWAKE_PAUSE_MIN: Duration = Duration::from_micros(500);
const AWAKE_PAUSE_MAX: Duration = Duration::from_millis(25);
/// How often a standby looks whether the seat is free.
const STANDBY_PAUSE: Duration = Duration::from_secs(1);

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// When asked to.
    Daemon,
    /// When the outbox is empty.
    Once,
}

/// Why work ended.
enum Ended {
    Finished,
    Doubt(Cause),
}

impl<O: Outbox, S: Sink> Relay<O, S> {
    /// Relays until `stop`, or until the outbox is empty ([`Mode::Once`]). No outage ends it.
    pub async fn run(&self, mode: Mode, stop: &CancellationToken) {
        let mut cause = Cause::Start;
        while let Some(session) = self.recovered(cause, stop).await {
            match self.work(&session, mode, stop).await {
                Ended::Finished => {
                    self.forget(&session).await;
                    break;
                }
                Ended::Doubt(doubt) => cause = doubt,
            }
        }
        tracing::info!(outbox = self.name, "stopped");
    }

    /// Recovers, however long that takes; `None` when asked to stop.
    async fn recovered(&self, cause: Cause, stop: &CancellationToken) -> Option<Session> {
        let mut outage = Outage::new(&self.name);
        let mut standing_by = false;
        while !stop.is_cancelled() {
            match self.recover(cause).await {
                Ok(Some(session)) => {
                    outage.over();
                    return Some(session);
                }
                Ok(None) => {
                    if !standing_by {
                        tracing::info!(outbox = self.name, "another relay is at work on this outbox: standing by");
                        standing_by = true;
                    }
                    self.metrics.standing_by();
                    pause(STANDBY_PAUSE, stop).await;
                }
                Err(reason) => {
                    self.metrics.down(&reason);
                    pause(outage.next_pause(&reason), stop).await;
                }
            }
        }
        None
    }

    /// One recovery: nobody's claim is open, the journal tells what was appended, that is settled, a new generation
    /// begins. Start-up, a crash and a doubt are the same thing. `None`: standing by.
    async fn recover(&self, cause: Cause) -> Result<Option<Session>, String> {
        let Joined::Member { number } = self.outbox.join().await.map_err(in_words)? else { return Ok(None) };
        let recovery = self.outbox.recover().await.map_err(in_words)?;
        let known = recovery.generation();
        let raised = self.sink.raise(known).await?;
        let lost = match raised.previous {
            Some(previous) => previous < known,
            None => known > 0,
        };
        // One loss is told once: if an append found it, that was told already.
        if lost && cause != Cause::RolledBack {
            self.rolled_back(&format!("Postgres is at generation {known}, the journal was at {:?}", raised.previous));
        }
        let settled = recovery.finish(raised.generation, &raised.appended).await.map_err(in_words)?;
        // Only now that the commit is known. What stays behind does no harm: the next recovery drops it.
        if let Err(reason) = self.sink.forget(raised.generation, number, &[]).await {
            tracing::debug!(outbox = self.name, reason, "old journal records stay for now");
        }
        self.metrics.recovered(cause, settled, raised.generation);
        let cause = cause.as_str();
        tracing::info!(outbox = self.name, cause, generation = raised.generation, settled, "recovered");
        Ok(Some(Session::new(raised.generation, number)))
    }

    /// Drains and rests in turn.
    async fn work(&self, session: &Session, mode: Mode, stop: &CancellationToken) -> Ended {
        let mut outage = Outage::new(&self.name);
        let mut awake_pause = AWAKE_PAUSE_MIN;
        while !stop.is_cancelled() {
            let outcome = match self.drain(session, stop).await {
                Ok(delivered) => {
                    outage.over();
                    self.metrics.up();
                    if delivered > 0 {
                        awake_pause = AWAKE_PAUSE_MIN;
                    }
                    match mode {
                        Mode::Daemon => self.rest(session, &mut awake_pause, stop).await,
                        Mode::Once => match self.last_look(session, stop).await {
                            Ok(0) => return Ended::Finished,
                            Ok(_) => Ok(()),
                            Err(trouble) => Err(trouble),
                        },
                    }
                }
                Err(trouble) => Err(trouble),
            };
            match outcome {
                Ok(()) => {}
                Err(Trouble::Unavailable(reason)) => {
                    self.metrics.down(&reason);
                    pause(outage.next_pause(&reason), stop).await;
                }
                Err(Trouble::Doubt { cause, detail }) => {
                    match cause {
                        Cause::RolledBack => self.rolled_back(&detail),
                        // Logged when the stream was parked.
                        Cause::PartlyAppended => {}
                        Cause::Start
                        | Cause::Postgres
                        | Cause::Unanswered
                        | Cause::Fenced
                        | Cause::Stale
                        | Cause::InFlight => {
                            tracing::warn!(outbox = self.name, cause = cause.as_str(), detail, "in doubt: recovering");
                        }
                    }
                    return Ended::Doubt(cause);
                }
            }
        }
        Ended::Finished
    }

    /// Before a single drain ends: what slipped by the cursor is found from the beginning.
    async fn last_look(&self, session: &Session, stop: &CancellationToken) -> Result<usize, Trouble> {
        self.outbox.rewind();
        self.drain(session, stop).await
    }

    /// Sleeps if no writer is under way, else waits a little.
    async fn rest(&self, session: &Session, awake: &mut Duration, stop: &CancellationToken) -> Result<(), Trouble> {
        if !self.outbox.fall_asleep().await? {
            pause(*awake, stop).await;
            *awake = (*awake * 2).min(AWAKE_PAUSE_MAX);
            return Ok(());
        }
        self.metrics.asleep(true);
        let woken = self.sleep(session, stop).await;
        self.metrics.asleep(false);
        self.outbox.get_up().await?;
        woken
    }

    /// Asleep: whoever committed before is seen by the first claim; whoever inserts from here on notifies.
    async fn sleep(&self, session: &Session, stop: &CancellationToken) -> Result<(), Trouble> {
        let mut forgotten = false;
        loop {
            if self.deliver_once(session, stop).await? > 0 || stop.is_cancelled() {
                return Ok(());
            }
            if !forgotten {
                self.forget(session).await;
                forgotten = true;
            }
            let woken = tokio::select! {
                woken = self.outbox.woken(self.poll_interval) => woken,
                () = stop.cancelled() => return Ok(()),
            };
            self.metrics.woken(woken);
            match woken {
                Woken::Elapsed => {}
                Woken::Notified => return Ok(()),
                Woken::Disconnected => {
                    return Err(OutboxError::Postgres("the control connection is lost".into()).into());
                }
            }
        }
    }

    /// Leaves no settled batch in the journal.
    async fn forget(&self, session: &Session) {
        let settled = session.to_drop();
        if settled.is_empty() {
            return;
        }
        match self.sink.forget(session.generation, session.member, &settled).await {
            Ok(()) => session.dropped(&settled),
            Err(reason) => tracing::debug!(outbox = self.name, reason, "settled journal records stay for now"),
        }
    }

    fn rolled_back(&self, what: &str) {
        self.metrics.rolled_back();
        tracing::error!(
            outbox = self.name,
            what,
            "Redis lost data that it had acknowledged (restarted without persistence, flushed, restored, or failed over): \
             events delivered shortly before may be missing from their streams; going on in a new generation"
        );
    }
}

/// Backs off while a server is down, and logs the beginning, a change of reason and the end.
struct Outage<'a> {
    outbox: &'a str,
    reason: Option<String>,
    pauses: backon::ExponentialBackoff,
}

impl<'a> Outage<'a> {
    fn new(outbox: &'a str) -> Self {
        Self { outbox, reason: None, pauses: pauses() }
    }

    fn next_pause(&mut self, reason: &str) -> Duration {
        if self.reason.as_deref() != Some(reason) {
            tracing::warn!(outbox = self.outbox, reason, "cannot deliver: trying again until it works");
            self.reason = Some(reason.to_owned());
        }
        self.pauses.next().unwrap_or(OUTAGE_PAUSE_MAX)
    }

    fn over(&mut self) {
        if self.reason.take().is_some() {
            tracing::info!(outbox = self.outbox, "delivering again");
            self.pauses = pauses();
        }
    }
}

fn pauses() -> backon::ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(OUTAGE_PAUSE_MIN)
        .with_max_delay(OUTAGE_PAUSE_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

async fn pause(length: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(length) => {}
        () = stop.cancelled() => {}
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
fn in_words(error: OutboxError) -> String {
    error.to_string()
}
