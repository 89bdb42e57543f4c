//! How reloads of the configuration went.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::{Gauge, IntCounterVec, IntGauge, Opts, Registry};

/// Counts reloads, and remembers what was wrong with the last one. Clones share it.
#[derive(Debug, Clone)]
pub struct Reloads {
    total: IntCounterVec,
    successful: IntGauge,
    succeeded_at: Gauge,
    problem: Arc<Mutex<Option<String>>>,
}

impl Reloads {
    /// Declares the series; the start counts as a success, as in Prometheus itself.
    ///
    /// # Errors
    /// If another series has one of these names.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let total = Opts::new(
            "outflow_config_reloads_total",
            "Reloads of the configuration (SIGHUP), by result",
        );
        let total = IntCounterVec::new(total, &["result"])?;
        let successful = IntGauge::new(
            "outflow_config_last_reload_successful",
            "1 if the last reload succeeded, 0 if it was rejected",
        )?;
        let succeeded_at = Gauge::new(
            "outflow_config_last_reload_success_timestamp_seconds",
            "Unix time in seconds at which the configuration in effect was read",
        )?;
        registry.register(Box::new(total.clone()))?;
        registry.register(Box::new(successful.clone()))?;
        registry.register(Box::new(succeeded_at.clone()))?;
        for result in ["success", "failure"] {
            total.with_label_values(&[result]);
        }
        let reloads = Self { total, successful, succeeded_at, problem: Arc::default() };
        reloads.in_force();
        Ok(reloads)
    }

    /// What was wrong with the last reload; `None` if the file is in force.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().clone()
    }

    /// A reload has ended, well or for a reason not.
    pub(crate) fn ended(&self, outcome: Result<(), &str>) {
        let result = if outcome.is_ok() { "success" } else { "failure" };
        self.total.with_label_values(&[result]).inc();
        match outcome {
            Ok(()) => self.in_force(),
            Err(_) => self.successful.set(0),
        }
        *self.problem.lock() = outcome.err().map(str::to_owned);
    }

    fn in_force(&self) {
        self.successful.set(1);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds are enough")]
        self.succeeded_at.set(jiff::Timestamp::now().as_millisecond() as f64 / 1_000.0);
    }
}
