//! The metrics: each series declared once, with its help text and unit. Steps report; here is where
//! it is counted.

mod deaths;
mod declare;
mod deliveries;
mod facts;
mod observer;
mod outbox;
mod outbox_state;
mod pauses;
mod reloads;
pub(crate) mod report;
mod stream_series;
mod streams;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use prometheus::{
    Encoder as _, GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::observe::health::Health;
use crate::observe::traces::Spans;
use crate::relay::event::DeadReason;
use crate::relay::hold::{HoldReason, Holds};
use crate::relay::trouble::Cause;

use deaths::Deaths;
use declare::Declare;
use report::Progress;
use stream_series::{Looking, StreamSeries};

pub use deliveries::Deliveries;
pub use outbox_state::OutboxState;
pub use reloads::Reloads;
pub use report::{FirstInLine, NoteKind, ParkedStream, Problem, Report, StreamNote};

/// Streams with a label of their own, for each outbox; events of further ones are counted under
/// `other`.
const STREAM_LABELS_MAX: usize = 100;
/// The label `stream` of a pause of the whole outbox.
const WHOLE: &str = "";
/// Seconds; from a tenth of a millisecond to a minute.
const SECONDS: [f64; 16] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
    15.0, 60.0,
];
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
    postgres_rollbacks: IntCounterVec,
    healed: IntCounterVec,
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
    paused: IntGaugeVec,
    paused_since: GaugeVec,
    up: IntGaugeVec,
    streams: StreamSeries,
    back_pressure: IntGaugeVec,
    holds: Holds,
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
    looking: Looking,
    spans: Option<Spans>,
}

impl Metrics {
    /// Declares every series.
    ///
    /// # Errors
    /// If two have one name: a mistake in this file.
    #[expect(clippy::too_many_lines, reason = "one declaration after another")]
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let declare = Declare { registry: &registry };
        let build = IntGaugeVec::new(
            Opts::new("outflow_build_info", "Constant 1, labeled with the version of the relay"),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let certificate_expiry = declare::certificate_expiry(&registry)?;
        Ok(Self {
            reloads: Reloads::new(&registry)?,
            streams: StreamSeries::new(&declare)?,
            back_pressure: declare.gauge(
                "back_pressure",
                "1 while the relay claims no events because Redis has little memory left \
                    (memory) or a consumer group is too far behind (lag)",
                &["reason"],
            )?,
            holds: Holds::default(),
            certificate_expiry,
            published: declare.counter(
                "events_published_total",
                "Events appended to a stream",
                &["stream"],
            )?,
            recovered: declare.counter(
                "events_recovered_total",
                "Appended events that a recovery settled, because their batch was interrupted",
                &[],
            )?,
            recoveries: declare.counter("recoveries_total", "Recoveries, by cause", &["cause"])?,
            dead_lettered: declare.counter(
                "events_dead_lettered_total",
                "Events moved to the dead-letter table, by reason",
                &["reason"],
            )?,
            dead_letters: declare.real(
                "dead_letters",
                "Events in the dead-letter table, counted up to 100,000; NaN if unknown",
                &[],
            )?,
            implausible_times: declare.counter(
                "implausible_times_total",
                "Events that delivery_seconds excludes because their time is in the future, more \
                    than a year old or unreadable",
                &["reason"],
            )?,
            append_failures: declare.counter(
                "append_failures_total",
                "Failed appends, by reason",
                &["reason"],
            )?,
            claims: declare.counter("claims_total", "Claims that returned rows", &[])?,
            redis_rollbacks: declare.counter(
                "redis_rollbacks_total",
                "Detected losses of data that Redis had acknowledged",
                &[],
            )?,
            postgres_rollbacks: declare.counter(
                "postgres_rollbacks_total",
                "Times that Postgres was found restored or failed over",
                &[],
            )?,
            healed: declare.counter(
                "events_healed_total",
                "Events of a kept outbox sent again because Redis had lost them",
                &[],
            )?,
            wakeups: declare.counter(
                "wakeups_total",
                "Wake-ups from sleep, by cause",
                &["cause"],
            )?,
            delivery_seconds: declare.histogram(
                "delivery_seconds",
                "Seconds from an event's time to its append, for the first event of each batch",
                &SECONDS,
            )?,
            claim_seconds: declare.histogram(
                "claim_seconds",
                "Duration in seconds of a claim that returned rows",
                &SECONDS,
            )?,
            append_seconds: declare.histogram(
                "append_seconds",
                "Duration in seconds of an append",
                &SECONDS,
            )?,
            settle_seconds: declare.histogram(
                "settle_seconds",
                "Duration in seconds of a settle",
                &SECONDS,
            )?,
            batch_events: declare.histogram(
                "batch_events",
                "Number of events per batch",
                &EVENTS,
            )?,
            oldest_event_age: declare.real(
                "oldest_event_age_seconds",
                "Age in seconds of the event that is next in line; 0 if there is none, NaN if \
                    unknown",
                &[],
            )?,
            backlog_events: declare.real(
                "backlog_events",
                "Events in the outbox, counted up to 100,000; NaN if unknown",
                &[],
            )?,
            generation: declare.gauge(
                "generation",
                "Generation of the slot assignment under which \
                this relay works",
                &[],
            )?,
            asleep: declare.gauge(
                "asleep",
                "1 while the relay sleeps until a writer notifies it, 0 otherwise",
                &[],
            )?,
            slots_owned: declare.gauge("slots_owned", "Slots that this relay owns, of 64", &[])?,
            streams_parked: declare.gauge(
                "streams_parked",
                "Streams that are parked because they refuse their events",
                &[],
            )?,
            paused: declare.gauge(
                "paused",
                "1 while a person has paused the outbox (empty label stream) or a stream of it",
                &["stream"],
            )?,
            paused_since: declare.real(
                "paused_since_timestamp_seconds",
                "Unix time in seconds at which the outbox (empty label stream) or a stream of it \
                    was paused; NaN if the outbox is not",
                &["stream"],
            )?,
            up: declare.gauge(
                "up",
                "1 if the relay can deliver, 0 if a server is unavailable or refuses",
                &[],
            )?,
            registry,
        })
    }

    /// Creates the series of one outbox. Each series exists from the start.
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
        for counter in [
            &self.recovered,
            &self.claims,
            &self.redis_rollbacks,
            &self.postgres_rollbacks,
            &self.healed,
        ] {
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
        for gauge in
            [&self.generation, &self.asleep, &self.slots_owned, &self.streams_parked, &self.up]
        {
            gauge.with_label_values(&[name]);
        }
        for unknown in [&self.oldest_event_age, &self.backlog_events, &self.dead_letters] {
            unknown.with_label_values(&[name]).set(f64::NAN);
        }
        self.published.with_label_values(&[name, "other"]);
        self.paused.with_label_values(&[name, WHOLE]);
        self.paused_since.with_label_values(&[name, WHOLE]).set(f64::NAN);
        self.streams.start(name);
        for reason in HoldReason::ALL {
            self.back_pressure.with_label_values(&[name, reason.as_str()]);
        }
        OutboxMetrics {
            all: self.clone(),
            outbox: name.to_owned(),
            streams: Arc::default(),
            health: Health::starting(),
            delivered: Arc::default(),
            progress: Progress::default(),
            deaths: Deaths::default(),
            looking: Looking::default(),
            spans: None,
        }
    }

    /// How reloads of the configuration went.
    pub fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    /// Reasons to wait.
    pub(crate) fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Where further series can be registered.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
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
