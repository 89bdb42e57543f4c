//! `outflow run`.

use clap::Args;

use crate::config::Config;
use crate::daemon::{self, DaemonError};
use crate::relay::Mode;
use crate::signals;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Drain what is there and exit 0 instead of waiting for more.
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(args: RunArgs, config: Config) -> Result<(), DaemonError> {
    let stop = signals::stop_token().map_err(|error| DaemonError::Failed(format!("signals: {error}")))?;
    let mode = if args.once { Mode::Once } else { Mode::Daemon };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), outboxes = config.outboxes.len(), "outflow starts");
    daemon::run(config, mode, stop).await
}
