//! `outflow run`.

use std::sync::Arc;

use clap::Args;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::console;
use crate::config::{Config, Source};
use crate::daemon::{self, Start};
use crate::observe::outboxes::Outboxes;
use crate::relay::Mode;
use outflow_core::fault::Fault;
use outflow_core::task;
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
    let (in_force, outboxes) = (watch::Sender::new(Arc::new(config.clone())), Outboxes::default());
    let closed = CancellationToken::new();
    let console = match mode {
        Mode::Daemon => {
            console::beside_the_relay(&in_force, &outboxes, closed.child_token()).await?
        }
        Mode::Once => None,
    };
    let console = console.map(task::owned);
    let start = Start { config, source, mode, log, outboxes, in_force };
    let outcome = Box::pin(daemon::run(start, stop, hangups)).await;
    closed.cancel();
    if let Some(console) = console {
        // Its own limits end it.
        let _ended = console.await;
    }
    outcome
}
