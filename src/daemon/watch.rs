//! Beside a relay: its gauges and report, what `--once` says while it waits, certificates, the
//! deaths that were not told yet.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use crate::config::Config;
use crate::observe::backlog_poller;
use crate::observe::certificates;
use crate::observe::metrics::OutboxMetrics;
use crate::observe::progress;
use crate::relay::Mode;
use crate::relay::options::OutboxOptions;

/// Ends with its value.
pub(super) struct Watch {
    metrics: OutboxMetrics,
    _task: AbortOnDropHandle<()>,
}

impl Watch {
    pub(super) fn over(
        config: &Arc<Config>,
        outbox: &OutboxOptions,
        metrics: &OutboxMetrics,
        mode: Mode,
    ) -> Self {
        let watching = watch(mode, Arc::clone(config), outbox.clone(), metrics.clone());
        Self { metrics: metrics.clone(), _task: outflow_core::task::owned(watching) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.metrics.tell_deaths(true);
    }
}

/// A single drain that is over soon needs none of it.
async fn watch(mode: Mode, config: Arc<Config>, outbox: OutboxOptions, metrics: OutboxMetrics) {
    // Its settings are those of its session.
    let server = config.servers().direct().clone();
    match mode {
        Mode::Daemon => {
            tokio::join!(
                backlog_poller::keep(server, outbox, metrics.clone()),
                certificates::watch(config, metrics)
            );
        }
        Mode::Once => {
            tokio::time::sleep(progress::FIRST / 2).await;
            tokio::join!(
                backlog_poller::keep(server, outbox, metrics.clone()),
                progress::tell(metrics)
            );
        }
    }
}
