//! The streams of an outbox: one member, the owner of slot 0, looks at each of them in turn, trims
//! what the rule says, and tells what it has seen.

mod lag;
mod notes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::observe::metrics::OutboxMetrics;
use crate::relay::options::{OutboxOptions, Trim, TrimWhen};
use crate::relay::sink::upkeep::{LookError, Trimmer};
use crate::relay::sink::written::{Registry, STREAMS_MAX, Written};
use lag::Lag;
use notes::Notes;
use outflow_connect::redis::{Failure, Redis};

/// Pause between two rounds, at least.
const TRIM_PAUSE: Duration = Duration::from_secs(1);
/// The same if nothing is trimmed: only metrics follow from it.
const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// A look that took t is followed by a pause of at least 20 t: 5 % of Redis's time, at most.
const DUTY: u32 = 20;
/// After a look that trimmed, there may be more.
const MORE_PAUSE: Duration = Duration::from_millis(10);
/// What a server that stumbles once may cost.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often the streams that are in use are told to Redis again.
const TELL_AGAIN: Duration = Duration::from_mins(10);
/// Pause between two log lines about entries that were lost for a group.
const LOSS_PAUSE: Duration = Duration::from_mins(1);

/// What it works with.
pub(super) struct Upkeep {
    outbox: OutboxOptions,
    metrics: OutboxMetrics,
    written: Arc<Written>,
    registry: Registry,
    trimmer: Trimmer,
    /// For a member that does not trim, and heeds the lag.
    looker: Trimmer,
    notes: Notes,
    lag: Lag,
    told_again: Instant,
    /// Refusals that were logged.
    told: BTreeSet<String>,
    is_over: bool,
    lost: Loss,
}

/// Entries that a limit has trimmed unread, since the last line.
#[derive(Default)]
struct Loss {
    entries: i64,
    stream: String,
    told: Option<Instant>,
}

impl Upkeep {
    /// Of the outbox with this journal. Scripts do not wait for replicas here: a trim that a
    /// fail-over undoes is made again.
    pub(super) fn new(
        outbox: &OutboxOptions,
        journal: &str,
        redis: &Redis,
        written: &Arc<Written>,
        metrics: &OutboxMetrics,
    ) -> Self {
        let redis = redis.clone().waiting_for(0);
        Self {
            registry: Registry::new(redis.clone(), journal, outbox.stream.hash_tag()),
            trimmer: Trimmer::new(redis.clone(), outbox.trim.clone()),
            looker: Trimmer::new(redis, Trim { when: TrimWhen::Never, ..outbox.trim.clone() }),
            outbox: outbox.clone(),
            metrics: metrics.clone(),
            written: Arc::clone(written),
            notes: Notes::default(),
            lag: Lag::new(outbox),
            told_again: Instant::now(),
            told: BTreeSet::new(),
            is_over: false,
            lost: Loss::default(),
        }
    }

    /// Works until its task ends.
    pub(super) async fn keep(mut self) {
        let pause = match self.outbox.trim.when {
            TrimWhen::Never if self.outbox.lag_max.is_none() => LOOK_PAUSE,
            TrimWhen::Never | TrimWhen::Consumed | TrimWhen::Length => TRIM_PAUSE,
        };
        loop {
            if let Err(failure) = self.round().await {
                tracing::debug!(outbox = self.outbox.name, %failure, "cannot look at the streams");
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn round(&mut self) -> Result<(), Failure> {
        self.lag.start_round();
        self.tell_written().await?;
        if !self.metrics.leads() {
            self.notes = Notes::default();
            self.metrics.looks_at_none();
            self.metrics.cannot_look(None);
            return self.heed_lag().await;
        }
        let names = self.names().await?;
        let (mut seen, mut refusal) = (BTreeSet::new(), None);
        for name in names {
            match self.look(&name).await {
                Ok(true) => {
                    seen.insert(name);
                }
                Ok(false) => self.registry.remove(&name).await?,
                Err(LookError::Refused(reason)) => {
                    self.refused(&name, &reason);
                    refusal.get_or_insert(format!("{name}: {reason}"));
                }
                Err(LookError::Failed(failure)) => return Err(failure),
            }
            if !self.metrics.leads() {
                return Ok(());
            }
        }
        self.metrics.cannot_look(refusal.as_deref());
        let notes = self.notes.end_round(&self.outbox.name);
        self.metrics.looked_at_all(&seen, &notes);
        self.lag.end_round(self.metrics.holds());
        self.tell_loss();
        Ok(())
    }

    async fn names(&self) -> Result<BTreeSet<String>, Failure> {
        let mut names = self.registry.all().await?;
        // One that has no columns is known from the start.
        if self.outbox.stream.columns().next().is_none() {
            names.extend(self.outbox.stream.render(&[]));
        }
        Ok(names)
    }

    /// Every member waits while a group is too far behind.
    async fn heed_lag(&mut self) -> Result<(), Failure> {
        if self.outbox.lag_max.is_none() {
            self.lag.end_round(self.metrics.holds());
            return Ok(());
        }
        for name in self.names().await? {
            let started = Instant::now();
            match self.looker.look(&name).await {
                Ok(look) => look.iter().for_each(|look| self.lag.looked(&name, look)),
                Err(LookError::Refused(reason)) => self.refused(&name, &reason),
                Err(LookError::Failed(failure)) => return Err(failure),
            }
            tokio::time::sleep((started.elapsed() * DUTY).clamp(MORE_PAUSE, PAUSE_MAX)).await;
        }
        self.lag.end_round(self.metrics.holds());
        Ok(())
    }

    /// Looks at a stream until nothing more is trimmed from it. Whether it is there.
    async fn look(&mut self, name: &str) -> Result<bool, LookError> {
        loop {
            let started = Instant::now();
            let Some(look) = self.trimmer.look(name).await? else { return Ok(false) };
            let took = started.elapsed();
            self.metrics.looked(name, &look);
            if look.trimmed() > 0 {
                tracing::debug!(
                    outbox = self.outbox.name,
                    stream = name,
                    read = look.trimmed_read,
                    over = look.trimmed_over,
                    left = look.entries,
                    ?took,
                    "trimmed"
                );
            }
            if look.unread_trimmed > 0 {
                self.lost.entries += look.unread_trimmed;
                name.clone_into(&mut self.lost.stream);
                self.tell_loss();
            }
            self.notes.looked(name, &look, &self.outbox.trim);
            self.lag.looked(name, &look);
            tokio::time::sleep((took * DUTY).clamp(MORE_PAUSE, PAUSE_MAX)).await;
            if look.trimmed() == 0 || !self.metrics.leads() {
                return Ok(true);
            }
        }
    }

    /// Tells Redis of streams that were written to for the first time.
    async fn tell_written(&mut self) -> Result<(), Failure> {
        if self.told_again.elapsed() > TELL_AGAIN {
            self.written.start_over();
            self.told_again = Instant::now();
        }
        if self.written.is_over() && !std::mem::replace(&mut self.is_over, true) {
            tracing::warn!(
                outbox = self.outbox.name,
                streams = STREAMS_MAX,
                "this outbox writes to more streams than the relay remembers: further ones are \
                    neither trimmed nor measured"
            );
        }
        let new = self.written.take_new();
        if new.is_empty() {
            return Ok(());
        }
        let told = self.registry.add(&new).await;
        if told.is_err() {
            self.written.put_back(new);
        }
        told
    }

    fn refused(&mut self, stream: &str, reason: &str) {
        // Streams may have the same reason: it is told once.
        if self.told.len() < STREAMS_MAX && self.told.insert(reason.to_owned()) {
            tracing::warn!(
                outbox = self.outbox.name,
                stream,
                reason,
                "cannot look at a stream, so it is neither trimmed nor measured; events are \
                    delivered; `outflow check` shows which permission is missing"
            );
        }
    }

    fn tell_loss(&mut self) {
        let is_due = self.lost.told.is_none_or(|told| told.elapsed() >= LOSS_PAUSE);
        if self.lost.entries > 0 && is_due {
            let Loss { entries, stream, .. } = std::mem::take(&mut self.lost);
            self.lost.told = Some(Instant::now());
            tracing::warn!(
                outbox = self.outbox.name,
                entries,
                stream,
                "trim.max_len or trim.max_age trimmed entries that a consumer group had not read \
                    and acknowledged: raise the limit, or speed the consumers up"
            );
        }
    }
}
