//! The metrics: each series declared once, with its help text and unit. Steps report; here is where it is counted.

mod deaths;
mod declare;
mod facts;
mod reloads;
mod report;
mod standing;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{
    Encoder as _, Gauge, GaugeVec, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::encode::Entries;
use crate::event::{Batch, DeadReason};
use crate::health::Health;
use crate::outbox::Woken;
use crate::relay::Cause;
use crate::sink::{AppendError, Refusal};
use crate::spans::Spans;

use deaths::Deaths;
use declare::Declare;
use report::Progress;

pub use reloads::Reloads;
pub use report::{FirstInLine, ParkedStream, Problem, Report};
pub use standing::Standing;

/// Streams with a label of their own, for each outbox; events of further ones are counted under `other`.
const STREAM_LABELS_MAX: usize = 100;
/// Seconds; from a tenth of a millisecond to a minute.
const SECONDS: [f64; 16] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];
/// Why an event's time is not measured.
const IMPLAUSIBLE: [&str; 3] = ["future", "past", "unreadable"];
const EVENTS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0];

/// All series, and where they are registered.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    published: IntCounterVec,
    recovered: IntCounterVec,
    recoveries: IntCounterVec,
    dead_lettered: IntCounterVec,
    dead_letters: GaugeVec,
    certificate_expiry: GaugeVec,
    implausible_times: IntCounterVec,
    append_failures: IntCounterVec,
    claims: IntCounterVec,
    redis_rollbacks: IntCounterVec,
    wakeups: IntCounterVec,
    delivery_seconds: HistogramVec,
    claim_seconds: HistogramVec,
    append_seconds: HistogramVec,
    settle_seconds: HistogramVec,
    batch_events: HistogramVec,
    oldest_event_age: GaugeVec,
    backlog_events: GaugeVec,
    generation: IntGaugeVec,
    asleep: IntGaugeVec,
    slots_owned: IntGaugeVec,
    streams_parked: IntGaugeVec,
    up: IntGaugeVec,
    reloads: Reloads,
}

/// The series of one outbox.
#[derive(Debug, Clone)]
pub struct OutboxMetrics {
    all: Metrics,
    outbox: String,
    streams: Arc<Mutex<HashSet<String>>>,
    health: Health,
    delivered: Arc<AtomicU64>,
    progress: Progress,
    deaths: Deaths,
    spans: Option<Spans>,
}

impl Metrics {
    /// Declares every series.
    ///
    /// # Errors
    /// If two have one name: a mistake in this file.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let declare = Declare { registry: &registry };
        let build =
            IntGaugeVec::new(Opts::new("outflow_build_info", "Always 1; the version is a label"), &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let certificate_expiry = declare::certificate_expiry(&registry)?;
        Ok(Self {
            reloads: Reloads::new(&registry)?,
            certificate_expiry,
            published: declare.counter("events_published_total", "Events appended to their streams", &["stream"])?,
            recovered: declare.counter(
                "events_recovered_total",
                "Events settled by a recovery: they had been appended",
                &[],
            )?,
            recoveries: declare.counter("recoveries_total", "Recoveries by cause", &["cause"])?,
            dead_lettered: declare.counter(
                "events_dead_lettered_total",
                "Events moved to the dead-letter table",
                &["reason"],
            )?,
            dead_letters: declare.real("dead_letters", "Events in the dead-letter table, counted up to 100,000")?,
            implausible_times: declare.counter(
                "implausible_times_total",
                "Event times that delivery_seconds leaves out: in the future, more than a year old, or unreadable",
                &["reason"],
            )?,
            append_failures: declare.counter("append_failures_total", "Appends that failed", &["reason"])?,
            claims: declare.counter("claims_total", "Claims that took rows", &[])?,
            redis_rollbacks: declare.counter(
                "redis_rollbacks_total",
                "Times Redis was found to have lost acknowledged data",
                &[],
            )?,
            wakeups: declare.counter("wakeups_total", "What ended a sleep", &["cause"])?,
            delivery_seconds: declare.histogram(
                "delivery_seconds",
                "From the event's time to its append, of the oldest event of each batch",
                &SECONDS,
            )?,
            claim_seconds: declare.histogram("claim_seconds", "Duration of a claim that took rows", &SECONDS)?,
            append_seconds: declare.histogram("append_seconds", "Duration of an append", &SECONDS)?,
            settle_seconds: declare.histogram("settle_seconds", "Duration of a settle", &SECONDS)?,
            batch_events: declare.histogram("batch_events", "Events of a batch", &EVENTS)?,
            oldest_event_age: declare.real(
                "oldest_event_age_seconds",
                "Age of the event that is next in line, 0 when there is none: how far behind the outbox is",
            )?,
            backlog_events: declare.real("backlog_events", "Events in the outbox, counted up to 100,000")?,
            generation: declare.gauge("generation", "The generation this member works in", &[])?,
            asleep: declare.gauge("asleep", "1 while the relay sleeps and writers notify it", &[])?,
            slots_owned: declare.gauge("slots_owned", "Slots of the ordering key that this member owns", &[])?,
            streams_parked: declare.gauge("streams_parked", "Streams that refuse their events", &[])?,
            up: declare.gauge("up", "1 while events can be delivered, 0 while a server is down or refuses", &[])?,
            registry,
        })
    }

    /// The series of one outbox, each of them there from the start.
    pub fn outbox(&self, name: &str) -> OutboxMetrics {
        for cause in Cause::ALL {
            self.recoveries.with_label_values(&[name, cause.as_str()]);
        }
        for reason in DeadReason::ALL {
            self.dead_lettered.with_label_values(&[name, reason.as_str()]);
        }
        for reason in ["unavailable", "fenced", "rolled_back", "unanswered", "refused"] {
            self.append_failures.with_label_values(&[name, reason]);
        }
        for reason in IMPLAUSIBLE {
            self.implausible_times.with_label_values(&[name, reason]);
        }
        for cause in ["notified", "polled", "disconnected"] {
            self.wakeups.with_label_values(&[name, cause]);
        }
        for counter in [&self.recovered, &self.claims, &self.redis_rollbacks] {
            counter.with_label_values(&[name]);
        }
        for histogram in [
            &self.delivery_seconds,
            &self.claim_seconds,
            &self.append_seconds,
            &self.settle_seconds,
            &self.batch_events,
        ] {
            histogram.with_label_values(&[name]);
        }
        for gauge in [&self.generation, &self.asleep, &self.slots_owned, &self.streams_parked, &self.up] {
            gauge.with_label_values(&[name]);
        }
        for unknown in [&self.oldest_event_age, &self.backlog_events, &self.dead_letters] {
            unknown.with_label_values(&[name]).set(f64::NAN);
        }
        self.published.with_label_values(&[name, "other"]);
        OutboxMetrics {
            all: self.clone(),
            outbox: name.to_owned(),
            streams: Arc::default(),
            health: Health::starting(),
            delivered: Arc::default(),
            progress: Progress::default(),
            deaths: Deaths::default(),
            spans: None,
        }
    }

    /// How reloads of the configuration went.
    pub fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    /// All series in the text format of Prometheus.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn render(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl OutboxMetrics {
    /// How this outbox stands.
    pub fn standing(&self) -> Standing {
        let problem = self.health.problem();
        let Report { events_per_second, parked, .. } = self.progress.report();
        let known = |of: &GaugeVec| Some(self.real(of).get()).filter(|value| !value.is_nan());
        Standing {
            outbox: self.outbox.clone(),
            problem_seconds: problem.as_ref().map(|(_, since)| since.as_secs()),
            problem: problem.map(|(problem, _)| problem),
            stalled_seconds: self.health.stalled().map(|silent| silent.as_secs()),
            delivered: self.delivered(),
            events_per_second,
            parked,
            backlog_events: known(&self.all.backlog_events),
            oldest_event_age_seconds: known(&self.all.oldest_event_age),
            generation: self.gauge(&self.all.generation).get(),
            slots_owned: self.gauge(&self.all.slots_owned).get(),
            asleep: self.gauge(&self.all.asleep).get() == 1,
            streams_parked: self.gauge(&self.all.streams_parked).get(),
        }
    }

    /// The same, with spans for its batches.
    pub(crate) fn traced(self, spans: Option<Spans>) -> Self {
        Self { spans, ..self }
    }

    pub(crate) fn claimed(&self, events: usize, took: Duration) {
        self.health.beat();
        self.all.claims.with_label_values(&[&self.outbox]).inc();
        self.all.claim_seconds.with_label_values(&[&self.outbox]).observe(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most 10,000 events")]
        self.all.batch_events.with_label_values(&[&self.outbox]).observe(events as f64);
    }

    pub(crate) fn appended(&self, batch: &Batch, entries: &Entries, took: Duration) {
        self.health.beat();
        self.delivered.fetch_add(entries.entries.len() as u64, Ordering::Relaxed);
        self.all.append_seconds.with_label_values(&[&self.outbox]).observe(took.as_secs_f64());
        if let Some(spans) = &self.spans {
            spans.sent(batch, entries, took);
        }
        let mut counts = vec![0; entries.streams.len()];
        for entry in &entries.entries {
            counts[entry.stream] += 1;
        }
        for (stream, count) in entries.streams.iter().zip(counts).filter(|(_, count)| *count > 0) {
            self.all.published.with_label_values(&[&self.outbox, self.label(stream)]).inc_by(count);
        }
        if let Some(time) = entries.entries.first().and_then(|entry| batch.events[entry.event].time.as_ref()) {
            self.delivered_after(time);
        }
    }

    pub(crate) fn settled(&self, entries: &Entries, took: Duration) {
        self.health.beat();
        self.all.settle_seconds.with_label_values(&[&self.outbox]).observe(took.as_secs_f64());
        for letter in &entries.dead {
            self.died(letter.reason, letter.stream.as_deref());
        }
    }

    pub(crate) fn append_failed(&self, error: &AppendError) {
        let reason = match error {
            AppendError::Unavailable(_) => "unavailable",
            AppendError::Fenced(_) => "fenced",
            AppendError::RolledBack(_) => "rolled_back",
            AppendError::Unknown(_) => "unanswered",
            // Counted for each stream.
            AppendError::Refused(_) => return,
        };
        self.all.append_failures.with_label_values(&[&self.outbox, reason]).inc();
        if let Some(spans) = &self.spans {
            spans.failed(reason, &error.to_string());
        }
    }

    pub(crate) fn refused(&self, refusal: &Refusal, pause: Duration) {
        self.progress.refused(refusal, pause);
        if let Some(spans) = &self.spans {
            spans.failed("refused", &format!("{}: {}", refusal.stream, refusal.message));
        }
        self.all.append_failures.with_label_values(&[&self.outbox, "refused"]).inc();
    }

    pub(crate) fn recovered(&self, cause: Cause, events: u64, generation: i64) {
        self.all.recoveries.with_label_values(&[&self.outbox, cause.as_str()]).inc();
        self.all.recovered.with_label_values(&[&self.outbox]).inc_by(events);
        self.all.generation.with_label_values(&[&self.outbox]).set(generation);
        self.up();
    }

    pub(crate) fn rolled_back(&self) {
        self.all.redis_rollbacks.with_label_values(&[&self.outbox]).inc();
    }

    /// A stream that was parked takes its events again.
    pub(crate) fn took(&self, stream: &str) {
        self.progress.took(stream);
    }

    /// Another relay begins, which finds out anew.
    pub(crate) fn unparked(&self) {
        self.progress.unparked();
        self.parked(0);
    }

    pub(crate) fn parked(&self, streams: usize) {
        self.gauge(&self.all.streams_parked).set(i64::try_from(streams).unwrap_or(i64::MAX));
    }

    /// The outbox is not ours any more: what it stood at is nobody's concern. What was counted stays.
    pub(crate) fn retire(&self) {
        let all = &self.all;
        for gauge in [&all.generation, &all.asleep, &all.slots_owned, &all.streams_parked, &all.up] {
            // Fails only if it is gone already.
            let _ = gauge.remove_label_values(&[&self.outbox]);
        }
        for gauge in [&all.oldest_event_age, &all.backlog_events, &all.dead_letters] {
            let _ = gauge.remove_label_values(&[&self.outbox]);
        }
    }

    pub(crate) fn asleep(&self, asleep: bool) {
        self.health.rests(asleep);
        self.gauge(&self.all.asleep).set(i64::from(asleep));
    }

    pub(crate) fn woken(&self, woken: Woken) {
        let cause = match woken {
            Woken::Notified => "notified",
            Woken::Elapsed => "polled",
            Woken::Disconnected => "disconnected",
        };
        self.all.wakeups.with_label_values(&[&self.outbox, cause]).inc();
    }

    pub(crate) fn owns(&self, slots: usize) {
        // A standby waits for a change.
        self.health.rests(slots == 0);
        self.gauge(&self.all.slots_owned).set(i64::try_from(slots).unwrap_or(i64::MAX));
    }

    /// Events can be delivered, or this is a healthy standby: it serves nobody, and takes over when it must.
    pub(crate) fn up(&self) {
        self.gauge(&self.all.up).set(1);
        self.health.set(None);
    }

    pub(crate) fn down(&self, reason: &str) {
        self.gauge(&self.all.up).set(0);
        self.health.set(Some(reason));
    }

    fn real(&self, of: &GaugeVec) -> Gauge {
        of.with_label_values(&[&self.outbox])
    }

    fn gauge(&self, of: &IntGaugeVec) -> IntGauge {
        of.with_label_values(&[&self.outbox])
    }

    /// The stream's own label while there is room for one.
    fn label<'a>(&self, stream: &'a str) -> &'a str {
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
