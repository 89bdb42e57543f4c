//! The only place that wires things together: configuration in, one relay for each outbox out.

pub mod admin;
mod leftovers;
mod outbox;
mod parts;
mod pressure;
mod reload;
mod supervisor;
pub mod systemd;
mod upkeep;
mod valve;
mod watch;

use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::daemon::admin::Admin;
use crate::observe::metrics::Metrics;
use crate::observe::summary;
use crate::observe::traces::Exporter;
use crate::relay::Mode;
use outflow_core::fault::Fault;
use supervisor::Supervisor;

pub use supervisor::Start;

/// Relays every configured outbox until `stop`, or until they are empty. On each of `hangups` the
/// configuration is read again from `source`.
///
/// # Errors
/// A [`Fault`], whose kind is the exit code. An outage is no error: it is waited out.
pub async fn run(
    start: Start,
    stop: CancellationToken,
    hangups: mpsc::Receiver<()>,
) -> Result<(), Fault> {
    let metrics = Metrics::new().map_err(|error| Fault::failed(error.to_string()))?;
    let counted = start.log.count_dropped("outflow_log_lines_dropped_total", metrics.registry());
    counted.map_err(|error| Fault::failed(error.to_string()))?;
    let outboxes = start.outboxes.clone();
    let closed = CancellationToken::new();
    let mut background = JoinSet::new();
    let listen = start.config.admin_listen;
    let listener = match start.mode {
        Mode::Daemon => Some(admin::bind(listen).await?),
        Mode::Once => None,
    };
    let exporter = Exporter::start(&start.config).map_err(Fault::configuration)?;
    let mut supervisor = Supervisor::new(start, metrics.clone(), exporter.clone(), stop.clone());
    if let Some(listener) = listener {
        tracing::info!(address = %listen, "the admin endpoint is listening");
        background.spawn(systemd::keep(outboxes.clone(), stop.clone()));
        background.spawn(summary::keep(outboxes.clone()));
        let shown = Admin { metrics, outboxes, started: Instant::now(), stop: stop.clone() };
        background.spawn(admin::serve(listener, shown, closed.clone()));
    }
    let outcome = Box::pin(supervisor.run(hangups)).await;
    systemd::stopping().await;
    closed.cancel();
    background.abort_all();
    if let Some(exporter) = exporter {
        exporter.finish().await;
    }
    outcome
}
