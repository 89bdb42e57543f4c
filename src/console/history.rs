//! The last hour of each outbox: events in and out, delivery latency, backlog. In a relay it is
//! sampled from the relay's own memory; in a process of its own, from what is seen while somebody
//! looks. Nothing is asked of a server for it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use crate::observe::metrics::{Deliveries, OutboxState};
use crate::observe::outboxes::Outboxes;
use crate::operate::status::Status;

/// Between two samples.
pub(super) const STEP: Duration = Duration::from_secs(5);
/// An hour of them.
const SAMPLES_MAX: usize = 720;
/// More than a plot has pixels for would only be sent.
const POINTS_MAX: usize = 240;
/// Seconds without a sample.
const GAP: i64 = 20;
/// All slots of an outbox.
const SLOTS: i64 = 64;

/// What an outbox was like at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Sample {
    /// In seconds since 1970.
    pub(super) at: i64,
    /// Events that were written, per second.
    pub(super) into: Option<f64>,
    /// Events that were delivered, per second.
    pub(super) out: Option<f64>,
    /// Seconds that deliveries took on average.
    pub(super) latency: Option<f64>,
    /// Events that waited.
    pub(super) backlog: Option<f64>,
}

/// Samples of all outboxes.
pub(super) struct History {
    /// Since when there are any.
    pub(super) since: Timestamp,
    /// In a relay: its own figures. `None`: a process of its own.
    pub(super) own: Option<Outboxes>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sampled_at: Option<Instant>,
    rings: BTreeMap<String, Ring>,
}

#[derive(Default)]
struct Ring {
    samples: VecDeque<Sample>,
    /// What the last sample is compared with.
    before: Option<Before>,
}

struct Before {
    at: Instant,
    delivered: u64,
    deliveries: Deliveries,
    backlog: Option<f64>,
}

impl History {
    pub(super) fn new(own: Option<Outboxes>) -> Self {
        Self { since: Timestamp::now(), own, state: Mutex::default() }
    }

    /// Samples the relay's own memory, if it is one.
    pub(super) fn sample_own(&self) {
        let Some(own) = &self.own else { return };
        let figures = own.figures();
        let mut state = self.state.lock();
        // Outboxes that a reload has removed are forgotten.
        state.rings.retain(|name, _| figures.iter().any(|(one, _)| one.outbox == *name));
        for (outbox, deliveries) in figures {
            let ring = state.rings.entry(outbox.outbox.clone()).or_default();
            ring.add_own(&outbox, deliveries);
        }
    }

    /// Samples what somebody sees just now, unless the relay's own memory is sampled.
    pub(super) fn sample_seen(&self, status: &Status) {
        let mut state = self.state.lock();
        let is_due = state.sampled_at.is_none_or(|at| at.elapsed() >= STEP);
        if self.own.is_some() || !is_due {
            return;
        }
        state.sampled_at = Some(Instant::now());
        state.rings.retain(|name, _| status.outboxes.iter().any(|one| one.name == *name));
        for outbox in &status.outboxes {
            let backlog = outbox.backlog_events.filter(|_| !outbox.backlog_is_capped);
            let ring = state.rings.entry(outbox.name.clone()).or_default();
            ring.add(
                outbox.events_per_second,
                outbox.delivery_seconds,
                #[expect(clippy::cast_precision_loss, reason = "it is 100,000 at most")]
                backlog.map(|events| events as f64),
            );
        }
    }

    /// The samples of one outbox, the oldest first, for a plot of [`POINTS_MAX`] points.
    pub(super) fn of(&self, outbox: &str) -> Vec<Sample> {
        let state = self.state.lock();
        let Some(ring) = state.rings.get(outbox) else { return Vec::new() };
        let samples: Vec<Sample> = ring.samples.iter().copied().collect();
        let together = samples.len().div_ceil(POINTS_MAX).max(1);
        samples.chunks(together).map(mean).collect()
    }
}

/// Several samples as one: the mean of what is known, at the time of the last.
fn mean(samples: &[Sample]) -> Sample {
    let of = |value: fn(&Sample) -> Option<f64>| {
        let known: Vec<f64> = samples.iter().filter_map(value).collect();
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let count = known.len() as f64;
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / count)
    };
    Sample {
        at: samples.last().map_or(0, |last| last.at),
        into: of(|sample| sample.into),
        out: of(|sample| sample.out),
        latency: of(|sample| sample.latency),
        backlog: of(|sample| sample.backlog),
    }
}

impl Ring {
    fn add_own(&mut self, outbox: &OutboxState, deliveries: Deliveries) {
        let now = Instant::now();
        let (out, latency) = match &self.before {
            None => (None, None),
            Some(before) => {
                let seconds = now.duration_since(before.at).as_secs_f64().max(0.001);
                #[expect(clippy::cast_precision_loss, reason = "for people to read")]
                let delivered = outbox.delivered.saturating_sub(before.delivered) as f64;
                (Some(delivered / seconds), deliveries.mean_since(before.deliveries))
            }
        };
        // What others deliver of this outbox is not known here, so what was written is not either.
        let backlog = outbox.backlog_events;
        let into = if outbox.slots_owned == SLOTS { self.written(out, backlog, now) } else { None };
        self.push(Sample { at: Timestamp::now().as_second(), into, out, latency, backlog });
        let delivered = outbox.delivered;
        self.before = Some(Before { at: now, delivered, deliveries, backlog });
    }

    fn add(&mut self, out: Option<f64>, latency: Option<f64>, backlog: Option<f64>) {
        let now = Instant::now();
        let into = self.written(out, backlog, now);
        self.push(Sample { at: Timestamp::now().as_second(), into, out, latency, backlog });
        self.before =
            Some(Before { at: now, delivered: 0, deliveries: Deliveries::default(), backlog });
    }

    /// What was delivered, and what has piled up.
    fn written(&self, out: Option<f64>, backlog: Option<f64>, now: Instant) -> Option<f64> {
        let before = self.before.as_ref()?;
        let grown = backlog? - before.backlog?;
        Some((out? + grown / now.duration_since(before.at).as_secs_f64().max(0.001)).max(0.0))
    }

    fn push(&mut self, sample: Sample) {
        let last = self.samples.back().map(|last| last.at);
        // Nobody has looked for a while: a line over that time would be a guess.
        let gap = last.filter(|last| sample.at - last > GAP).map(|last| Sample {
            at: last + 1,
            into: None,
            out: None,
            latency: None,
            backlog: None,
        });
        for sample in gap.into_iter().chain([sample]) {
            if self.samples.len() >= SAMPLES_MAX {
                self.samples.pop_front();
            }
            self.samples.push_back(sample);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let mut ring = Ring::default();
        for events in 0..2_000 {
            ring.add(Some(10.0), None, Some(f64::from(events)));
        }
        assert_eq!(ring.samples.len(), SAMPLES_MAX);
        let samples: Vec<Sample> = ring.samples.iter().copied().collect();
        assert!(samples.chunks(3).map(mean).count() <= POINTS_MAX);
        let last = ring.samples.back().expect("a sample");
        assert!(last.into > Some(10.0), "a growing backlog: {last:?}");
    }

    #[test]
    fn what_is_not_known_is_no_number() {
        let mut ring = Ring::default();
        ring.add(None, None, Some(5.0));
        ring.add(Some(1.0), Some(0.5), None);
        ring.add(Some(1.0), Some(0.5), Some(5.0));
        let known: Vec<_> = ring.samples.iter().map(|sample| sample.into).collect();
        assert_eq!(known, [None, None, None]);
    }
}
