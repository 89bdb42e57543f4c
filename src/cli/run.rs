//! `outflow run`.

use clap::Args;

use crate::config::{Config, Source};
use crate::daemon::{self, Start};
use crate::relay::Mode;
use outflow_core::fault::Fault;
use outflow_service::signals;
use outflow_service::telemetry::Log;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Drain the backlog and exit instead of waiting for more events
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(
    args: RunArgs,
    config: Config,
    source: Source,
    log: Log,
) -> Result<(), Fault> {
    let failed = |error: std::io::Error| Fault::failed(format!("signals: {error}"));
    let (stop, _stops) = signals::stop_token(&log).map_err(failed)?;
    let (hangups, _reloads) = signals::hangups().map_err(failed)?;
    let mode = if args.once { Mode::Once } else { Mode::Daemon };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        outboxes = config.outboxes.len(),
        "outflow is starting"
    );
    for notice in &config.notices {
        tracing::warn!(remedy = notice.remedy, "{}", notice.what);
    }
    daemon::run(Start { config, source, mode, log }, stop, hangups).await
}
