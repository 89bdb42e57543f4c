//! Looks after our place in the group of one stream: signs of life, take-over, tidying, gauges.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::backoff::{Backoff, is_displaced};
use super::context::{Context, Stream};
use super::control::KNOWN_FOR;
use super::group::{GroupInfo, Swept};
use super::handler::Handler;
use super::health::Part;
use super::id::EntryId;
use super::observer::{GroupState, Observation};
use outflow_connect::redis::Failure;

/// How often to look for what others left, at the longest: entries that were given back should not
/// lie around.
const LOOK_LONGEST: Duration = Duration::from_secs(1);
/// How often the group's state is asked for.
const GROUP_INFO_INTERVAL: Duration = Duration::from_secs(5);
/// How often to look for consumers that can be forgotten.
const FORGET_INTERVAL: Duration = Duration::from_mins(1);

/// How often to show that we live to whoever asks for our name, and Redis to us.
const PRESENT_INTERVAL: Duration = Duration::from_millis(500);
/// How long Redis has to answer. Twice in a row without: it is away.
const PRESENT_PATIENCE: Duration = Duration::from_secs(3);
/// Steps of a sweep in one go.
const SWEEP_STEPS: usize = 50;

/// The housekeeping of one stream.
pub(super) struct Housekeeper<H> {
    pub(super) context: Arc<Context<H>>,
    pub(super) stream: usize,
}

/// When each duty comes next.
struct Duties {
    heartbeat: Instant,
    reclaim: Instant,
    group_info: Instant,
    forget: Instant,
    /// When the state of the group was last told, if it still counts.
    told: Option<Instant>,
    /// Redis does not let us tidy up, or set its counter right: said once.
    is_denied: bool,
}

impl<H: Handler> Housekeeper<H> {
    /// Keeps on, until it is dropped: signs of life are due for as long as a handler works, after a
    /// stop too.
    pub(super) async fn run(self) {
        tokio::join!(self.keep(), self.stay_present());
    }

    async fn keep(&self) {
        let claim_idle = self.context.settings.claim_idle;
        let now = Instant::now();
        // Others may have been kept from their signs of life by what kept us from ours (a restart
        // of Redis).
        let mut duties = Duties {
            heartbeat: now,
            reclaim: now + claim_idle / 3,
            group_info: now,
            forget: now,
            told: None,
            is_denied: false,
        };
        loop {
            if let Err(failure) = self.look(&mut duties).await {
                if is_displaced(&failure) {
                    self.context.displaced(self.stream);
                }
                // The reader says it, if it lasts.
                tracing::debug!(%failure, "no sign of life");
                duties.reclaim = Instant::now() + claim_idle;
                duties.heartbeat = Instant::now();
            }
            if duties.told.is_some_and(|told| told.elapsed() > KNOWN_FOR) {
                duties.told = None;
                self.context.observe(self.stream, &Observation::GroupUnknown);
            }
            // With jitter, so that the members of a group do not look all at once.
            let pause = (claim_idle / 6).min(LOOK_LONGEST);
            tokio::time::sleep(Backoff::between(pause / 2, pause)).await;
        }
    }

    /// Answers who asks for our name, and notices when Redis does not answer: frozen, it closes no
    /// connection.
    async fn stay_present(&self) {
        let (stream, part) = (self.stream(), Part::Presence(self.stream));
        let mut misses = 0_u32;
        loop {
            tokio::time::sleep(PRESENT_INTERVAL).await;
            if !stream.entered.load(Ordering::SeqCst) && misses == 0 {
                continue;
            }
            let silence = match tokio::time::timeout(PRESENT_PATIENCE, stream.group.present()).await
            {
                Ok(Ok(was_challenged)) => {
                    if was_challenged {
                        let consumer = &self.context.settings.consumer;
                        tracing::error!(stream = self.context.name(self.stream), %consumer,
                            "another process asks for our name; give each one of its own");
                    }
                    None
                }
                Ok(Err(failure)) if is_displaced(&failure) => {
                    self.context.displaced(self.stream);
                    None
                }
                // It answers.
                Ok(Err(Failure::Refused(_))) => None,
                Ok(Err(failure)) => Some(failure.to_string()),
                Err(_elapsed) => Some(format!("no answer within {PRESENT_PATIENCE:?}")),
            };
            match silence {
                None => {
                    if std::mem::take(&mut misses) > 1 {
                        self.context.lifecycle.health.up(part);
                    }
                }
                Some(cause) => {
                    misses = misses.saturating_add(1);
                    if misses > 1 {
                        self.context.lifecycle.health.down(part, &cause);
                    }
                }
            }
        }
    }

    fn stream(&self) -> &Stream {
        &self.context.streams[self.stream]
    }

    async fn look(&self, duties: &mut Duties) -> Result<(), Failure> {
        let (stream, settings) = (self.stream(), &self.context.settings);
        if !stream.entered.load(Ordering::SeqCst) {
            return Ok(());
        }
        if due(&mut duties.heartbeat, settings.claim_idle / 3) {
            let (pending, gone) = stream.group.heartbeat().await?;
            self.lose(gone);
            if stream.misses_any(&pending) {
                tracing::debug!(
                    stream = self.context.name(self.stream),
                    "pending entries that are not in hand: read again"
                );
                stream.rescan();
            }
        }
        if duties.reclaim <= Instant::now()
            && !self.context.lifecycle.stop.is_cancelled()
            && let Some(_reading) = self.context.control.read()
        {
            self.reclaim().await?;
        }
        if due(&mut duties.group_info, GROUP_INFO_INTERVAL) {
            self.note(stream.group.group_info(false).await?, &mut duties.is_denied);
            duties.told = Some(Instant::now());
            let letters = stream.group.dead_letters().await?;
            self.context.observe(self.stream, &Observation::DeadLetters(letters));
        }
        if due(&mut duties.forget, FORGET_INTERVAL) {
            let gone = stream.group.forget(settings.forget_idle).await?;
            if !gone.is_empty() {
                tracing::info!(stream = self.context.name(self.stream), consumers = ?gone,
                    "gone for long with nothing pending: removed from the group");
            }
            self.sweep("keys", &mut duties.is_denied).await?;
            self.sweep("state", &mut duties.is_denied).await?;
        }
        Ok(())
    }

    async fn reclaim(&self) -> Result<(), Failure> {
        let stream = self.stream();
        let _turn = stream.turn.lock().await;
        let reclaimed = stream.group.reclaim(self.context.settings.claim_idle).await?;
        let name = self.context.name(self.stream);
        self.lose(reclaimed.gone);
        if reclaimed.taken > 0 {
            let (count, from) = (reclaimed.taken, reclaimed.consumers);
            tracing::info!(
                stream = name,
                count,
                ?from,
                "took over the entries of consumers without a sign of life"
            );
            self.context.observe(self.stream, &Observation::Reclaimed(count));
            stream.rescan();
        }
        Ok(())
    }

    /// Counts entries that Redis has dropped from a pending list, and says so.
    fn lose(&self, count: u64) {
        if count > 0 {
            self.context.observe(self.stream, &Observation::LostPending(count));
            let stream = self.context.name(self.stream);
            tracing::warn!(
                stream,
                count,
                "pending, but gone from the stream (deleted or trimmed): dropped"
            );
        }
    }

    /// Removes what points to nothing.
    async fn sweep(&self, hash: &'static str, is_denied: &mut bool) -> Result<(), Failure> {
        let mut cursor = "0".to_owned();
        for _ in 0..SWEEP_STEPS {
            match self.stream().group.sweep(hash, &cursor).await? {
                Swept::Denied => {
                    self.say_denied("HSCAN", is_denied);
                    return Ok(());
                }
                Swept::Fields(removed, next) => {
                    if removed > 0 {
                        tracing::debug!(
                            stream = self.context.name(self.stream),
                            hash,
                            removed,
                            "tidied up"
                        );
                    }
                    let Some(next) = next else { return Ok(()) };
                    cursor = next;
                }
            }
        }
        Ok(())
    }

    fn say_denied(&self, command: &str, is_denied: &mut bool) {
        if !std::mem::replace(is_denied, true) {
            tracing::warn!(
                stream = self.context.name(self.stream),
                command,
                "Redis does not allow us this command: lag may be wrong after losses, and fields \
                    of acknowledged entries may be \
                 left behind; ACL SETUSER the consumer's user +hscan +xgroup|setid"
            );
        }
    }

    fn note(&self, group_info: GroupInfo, is_denied: &mut bool) {
        if group_info.lost > 0 {
            let (name, count) = (self.context.name(self.stream), group_info.lost);
            self.context.observe(self.stream, &Observation::LostUnread(count));
            tracing::warn!(
                stream = name,
                count,
                "entries left the stream before this group had read them: trimmed (its maximum \
                    length or age is too small for \
                 how far the group is behind) or deleted"
            );
        }
        if group_info.is_denied {
            self.say_denied("XGROUP SETID", is_denied);
        }
        let oldest = group_info.oldest_pending.and_then(EntryId::appended_at);
        let age =
            oldest.and_then(|time| Duration::try_from(Timestamp::now().duration_since(time)).ok());
        let state = GroupState {
            pending: group_info.pending,
            oldest_pending_age: age.unwrap_or_default(),
            lag: group_info.lag,
        };
        self.context.control.measured(self.stream, state);
        self.context.observe(self.stream, &Observation::Group(state));
    }
}

/// Whether a duty is due; if so, it comes again after `interval`.
fn due(duty: &mut Instant, interval: Duration) -> bool {
    let now = Instant::now();
    if *duty > now {
        return false;
    }
    *duty = now + interval;
    true
}
