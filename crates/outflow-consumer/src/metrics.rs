//! A consumer's metrics in Prometheus' format: each series declared once, with its help text and
//! unit, labeled with its group and stream.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

use super::handler::Handled;
use super::observer::{FailureReason, GroupState, Observation, Observer};
use super::settings::Settings;

/// Seconds of one attempt.
const HANDLING_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
/// Seconds from the outbox to the effect; hours after an outage.
const AGE_BUCKETS: [f64; 13] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0];
/// The series of one consumer. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Metrics {
    streams: Vec<StreamMetrics>,
}

/// The series of one of its streams.
#[derive(Debug, Clone)]
struct StreamMetrics {
    handled: IntCounter,
    duplicates: IntCounter,
    ignored: IntCounter,
    failed: IntCounterVec,
    stream: String,
    retried: IntCounter,
    dead_lettered: IntCounter,
    reclaimed: IntCounter,
    /// Trimmed or deleted before the group had read them.
    lost_unread: IntCounter,
    /// Trimmed or deleted while they were pending.
    lost_pending: IntCounter,
    handling_seconds: Histogram,
    event_age_seconds: Histogram,
    pending: IntGauge,
    oldest_pending_age_seconds: Gauge,
    lag: Gauge,
    lag_known: IntGauge,
    paused: IntGauge,
    dead_letters: Gauge,
}

/// Written by a consumer that is given it: [`Consumer::observer`](super::Consumer::observer).
impl Observer for Metrics {
    fn observe(&self, stream: &str, observation: &Observation) {
        // A few, so that looking at each is faster than a map.
        if let Some(metrics) = self.streams.iter().find(|metrics| metrics.stream == stream) {
            metrics.observe(observation);
        }
    }
}

impl StreamMetrics {
    fn observe(&self, observation: &Observation) {
        match *observation {
            Observation::Handled(Handled::Done) => self.handled.inc(),
            Observation::Handled(Handled::Duplicate) => self.duplicates.inc(),
            Observation::Handled(Handled::Ignored) => self.ignored.inc(),
            Observation::Failed(reason) => {
                self.failed.with_label_values(&[self.stream.as_str(), reason.as_str()]).inc();
            }
            Observation::Retried => self.retried.inc(),
            Observation::DeadLettered => self.dead_lettered.inc(),
            Observation::Reclaimed(count) => self.reclaimed.inc_by(count),
            Observation::LostUnread(count) => self.lost_unread.inc_by(count),
            Observation::LostPending(count) => self.lost_pending.inc_by(count),
            Observation::Attempt(took) => self.handling_seconds.observe(took.as_secs_f64()),
            Observation::EventAge(age) => self.event_age_seconds.observe(age.as_secs_f64()),
            Observation::Group(GroupState { pending, oldest_pending_age, lag }) => {
                self.pending.set(number(pending));
                self.oldest_pending_age_seconds.set(oldest_pending_age.as_secs_f64());
                self.lag(lag);
            }
            Observation::GroupUnknown => self.lag(None),
            Observation::Paused(is_paused) => self.paused.set(i64::from(is_paused)),
            Observation::DeadLetters(letters) => self.dead_letters.set(length(letters)),
        }
    }

    fn lag(&self, lag: Option<u64>) {
        self.lag.set(length(lag));
        self.lag_known.set(i64::from(lag.is_some()));
    }
}

/// Of a stream, or of a part of it. Zero would say that there is nothing.
#[expect(clippy::cast_precision_loss, reason = "no stream is that long")]
fn length(entries: Option<u64>) -> f64 {
    entries.map_or(f64::NAN, |entries| entries as f64)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Makes and registers series that share a label.
struct Maker<'a> {
    registry: &'a Registry,
    group: &'a str,
}

impl Maker<'_> {
    fn opts(&self, name: &str, help: &str) -> Opts {
        Opts::new(name, help).namespace("outflow_consumer").const_label("group", self.group)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        let counters = IntCounterVec::new(self.opts(name, help), labels)?;
        self.registry.register(Box::new(counters.clone()))?;
        Ok(counters)
    }

    fn gauges(&self, name: &str, help: &str) -> Result<IntGaugeVec, prometheus::Error> {
        let gauges = IntGaugeVec::new(self.opts(name, help), &["stream"])?;
        self.registry.register(Box::new(gauges.clone()))?;
        Ok(gauges)
    }

    fn numbers(&self, name: &str, help: &str) -> Result<GaugeVec, prometheus::Error> {
        let gauges = GaugeVec::new(self.opts(name, help), &["stream"])?;
        self.registry.register(Box::new(gauges.clone()))?;
        Ok(gauges)
    }

    fn seconds(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let opts = HistogramOpts { common_opts: self.opts(name, help), buckets: buckets.to_vec() };
        let seconds = HistogramVec::new(opts, &["stream"])?;
        self.registry.register(Box::new(seconds.clone()))?;
        Ok(seconds)
    }
}

impl Metrics {
    /// Registers every series of a consumer with these settings; all exist from the start.
    ///
    /// # Errors
    /// When `registry` has them already.
    pub fn new(registry: &Registry, settings: &Settings) -> Result<Self, prometheus::Error> {
        let make = Maker { registry, group: &settings.group };
        let count = |name: &str, help: &str| make.counters(name, help, &["stream"]);
        let handled = count("handled_total", "Entries whose effect was committed")?;
        let duplicates =
            count("duplicates_total", "Entries whose effect had been committed before")?;
        let ignored = count("ignored_total", "Entries of types that the handler does not know")?;
        let retried = count("retried_total", "Attempts after the first one")?;
        let dead_lettered =
            count("dead_lettered_total", "Entries moved to the dead-letter stream")?;
        let reclaimed = count("reclaimed_total", "Entries taken over from other consumers")?;
        let lost = make.counters(
            "lost_total",
            "Entries that left the stream (trimmed or deleted) before the group was done with \
                them: unread, or read and pending",
            &["stream", "state"],
        )?;
        let failed = make.counters(
            "failed_total",
            "Attempts without an effect, by what became of them",
            &["stream", "reason"],
        )?;
        let handling = make.seconds(
            "handling_seconds",
            "Time of one attempt, of the whole call where several entries share one",
            &HANDLING_BUCKETS,
        )?;
        let event_age =
            make.seconds("event_age_seconds", "Time from the outbox to the effect", &AGE_BUCKETS)?;
        let pending =
            make.gauges("pending_entries", "Entries that the group has read and not acknowledged")?;
        let oldest = make.numbers(
            "oldest_pending_age_seconds",
            "Time since the oldest of those was appended; 0: none",
        )?;
        let lag = make.numbers(
            "lag_entries",
            "Entries that the group has not read; NaN: not known, and lag_known is 0",
        )?;
        let lag_known = make.gauges("lag_known", "Whether the lag is known (1) or not (0)")?;
        let paused = make.gauges("paused", "Whether this consumer is paused (1) or not (0)")?;
        let letters = make.numbers(
            "dead_letters",
            "Entries in the dead-letter stream, of all groups; NaN: they may not be counted",
        )?;
        let of = |stream: &str| {
            for reason in FailureReason::ALL {
                failed.with_label_values(&[stream, reason.as_str()]);
            }
            let lag = lag.with_label_values(&[stream]);
            lag.set(f64::NAN);
            StreamMetrics {
                handled: handled.with_label_values(&[stream]),
                duplicates: duplicates.with_label_values(&[stream]),
                ignored: ignored.with_label_values(&[stream]),
                failed: failed.clone(),
                stream: stream.to_owned(),
                retried: retried.with_label_values(&[stream]),
                dead_lettered: dead_lettered.with_label_values(&[stream]),
                reclaimed: reclaimed.with_label_values(&[stream]),
                lost_unread: lost.with_label_values(&[stream, "unread"]),
                lost_pending: lost.with_label_values(&[stream, "pending"]),
                handling_seconds: handling.with_label_values(&[stream]),
                event_age_seconds: event_age.with_label_values(&[stream]),
                pending: pending.with_label_values(&[stream]),
                oldest_pending_age_seconds: oldest.with_label_values(&[stream]),
                lag,
                lag_known: lag_known.with_label_values(&[stream]),
                paused: paused.with_label_values(&[stream]),
                dead_letters: letters.with_label_values(&[stream]),
            }
        };
        Ok(Self { streams: settings.streams.iter().map(|source| of(&source.stream)).collect() })
    }
}
