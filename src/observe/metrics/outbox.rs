//! What the parts of one outbox report, and how it stands.

use prometheus::{Gauge, GaugeVec, IntGauge, IntGaugeVec};

use super::{OutboxMetrics, OutboxState, Report, STREAM_LABELS_MAX};
use crate::observe::traces::Spans;
use crate::relay::hold::{HoldReason, Holds};

impl OutboxMetrics {
    /// How this outbox stands.
    pub fn state(&self) -> OutboxState {
        let problem = self.health.problem();
        let Report { events_per_second, parked, notes, look_problem, .. } = self.progress.report();
        let known = |of: &GaugeVec| Some(self.real(of).get()).filter(|value| !value.is_nan());
        OutboxState {
            outbox: self.outbox.clone(),
            problem_seconds: problem.as_ref().map(|(_, since)| since.as_secs()),
            problem: problem.map(|(problem, _)| problem),
            stalled_seconds: self.health.stalled().map(|silent| silent.as_secs()),
            delivered: self.delivered(),
            events_per_second,
            parked,
            streams: notes,
            holds: self.all.holds.of(&self.outbox),
            look_problem,
            backlog_events: known(&self.all.backlog_events),
            oldest_event_age_seconds: known(&self.all.oldest_event_age),
            generation: self.gauge(&self.all.generation).get(),
            slots_owned: self.gauge(&self.all.slots_owned).get(),
            asleep: self.gauge(&self.all.asleep).get() == 1,
            streams_parked: self.gauge(&self.all.streams_parked).get(),
            paused: self.pauses(),
        }
    }

    /// Old rows that cannot be removed, and why.
    pub(crate) fn held_back(&self, held: Vec<String>) {
        self.progress.held_back(held);
    }

    /// Reasons to wait, of this outbox and of others.
    pub(crate) fn holds(&self) -> &Holds {
        &self.all.holds
    }

    /// What is so now, for who reads the series.
    pub(crate) fn show_holds(&self) {
        let holds = self.all.holds.of(&self.outbox);
        for reason in HoldReason::ALL {
            let is_set = holds.iter().any(|hold| hold.reason == reason);
            let labels = [self.outbox.as_str(), reason.as_str()];
            self.all.back_pressure.with_label_values(&labels).set(i64::from(is_set));
        }
    }

    /// The same, with spans for its batches.
    pub(crate) fn traced(self, spans: Option<Spans>) -> Self {
        Self { spans, ..self }
    }

    /// The outbox is not ours any more: what it stood at is nobody's concern. What was counted
    /// stays.
    pub(crate) fn retire(&self) {
        let all = &self.all;
        for gauge in [&all.generation, &all.asleep, &all.slots_owned, &all.streams_parked, &all.up]
        {
            // Fails only if it is gone already.
            let _ = gauge.remove_label_values(&[&self.outbox]);
        }
        self.retire_pauses();
        self.retire_streams();
        for reason in HoldReason::ALL {
            let labels = [self.outbox.as_str(), reason.as_str()];
            let _ = all.back_pressure.remove_label_values(&labels);
        }
        self.all.holds.set(HoldReason::Lag, Some(&self.outbox), None);
        for gauge in [&all.oldest_event_age, &all.backlog_events, &all.dead_letters] {
            let _ = gauge.remove_label_values(&[&self.outbox]);
        }
    }

    pub(super) fn real(&self, of: &GaugeVec) -> Gauge {
        of.with_label_values(&[&self.outbox])
    }

    pub(super) fn gauge(&self, of: &IntGaugeVec) -> IntGauge {
        of.with_label_values(&[&self.outbox])
    }

    /// The stream's own label while there is room for one.
    pub(super) fn label<'a>(&self, stream: &'a str) -> &'a str {
        let mut known = self.streams.lock();
        if known.contains(stream) {
            return stream;
        }
        if known.len() >= STREAM_LABELS_MAX {
            return "other";
        }
        known.insert(stream.to_owned());
        stream
    }
}
