//! A consumer's metrics: each series declared once, with its help text and unit, labelled with its stream and group.

use std::collections::HashMap;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use super::Settings;

/// Seconds of one attempt.
const HANDLING_BUCKETS: [f64; 12] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
/// Seconds from the outbox to the effect; hours after an outage.
const AGE_BUCKETS: [f64; 13] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0];

/// The series of one consumer. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(super) handled: IntCounter,
    pub(super) duplicates: IntCounter,
    pub(super) ignored: IntCounter,
    pub(super) failed: IntCounterVec,
    pub(super) retried: IntCounter,
    pub(super) dead_lettered: IntCounter,
    pub(super) reclaimed: IntCounter,
    pub(super) handling_seconds: Histogram,
    pub(super) event_age_seconds: Histogram,
}

/// The values of the label `reason` of `failed`, one a kind of error.
const REASONS: [&str; 3] = ["retry", "permanent", "unavailable"];

impl Metrics {
    /// Registers every series of a consumer with these settings; all exist from the start.
    ///
    /// # Errors
    /// When `registry` has them already.
    pub fn new(registry: &Registry, settings: &Settings) -> Result<Self, prometheus::Error> {
        let labels: HashMap<String, String> =
            [("stream".to_owned(), settings.stream.clone()), ("group".to_owned(), settings.group.clone())].into();
        let opts =
            |name: &str, help: &str| Opts::new(name, help).namespace("outflow_consumer").const_labels(labels.clone());
        let count = |name: &str, help: &str| IntCounter::with_opts(opts(name, help));
        let seconds = |name: &str, help: &str, buckets: &[f64]| {
            Histogram::with_opts(HistogramOpts { common_opts: opts(name, help), buckets: buckets.to_vec() })
        };
        let failed = opts("failed_total", "Attempts without an effect, by what the error asks for");
        let metrics = Self {
            handled: count("handled_total", "Entries whose effect was committed")?,
            duplicates: count("duplicates_total", "Entries whose effect had been committed before")?,
            ignored: count("ignored_total", "Entries of types that the handler does not know")?,
            failed: IntCounterVec::new(failed, &["reason"])?,
            retried: count("retried_total", "Attempts after the first one")?,
            dead_lettered: count("dead_lettered_total", "Entries moved to the dead-letter stream")?,
            reclaimed: count("reclaimed_total", "Entries taken over from other consumers")?,
            handling_seconds: seconds("handling_seconds", "Time of one attempt", &HANDLING_BUCKETS)?,
            event_age_seconds: seconds("event_age_seconds", "Time from the outbox to the effect", &AGE_BUCKETS)?,
        };
        metrics.register(registry)?;
        Ok(metrics)
    }

    fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        for reason in REASONS {
            self.failed.with_label_values(&[reason]);
        }
        let counters =
            [&self.handled, &self.duplicates, &self.ignored, &self.retried, &self.dead_lettered, &self.reclaimed];
        for counter in counters {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(self.failed.clone()))?;
        registry.register(Box::new(self.handling_seconds.clone()))?;
        registry.register(Box::new(self.event_age_seconds.clone()))
    }
}
