//! Unix signals as one stop token: the first SIGTERM or SIGINT asks for a drain, the second ends the process at once.

use futures_util::StreamExt;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio_util::sync::CancellationToken;

/// What a shell reports for a process that died of SIGINT; used when a second signal cuts a drain short.
const EXIT_ABORTED: i32 = 130;

/// Returns a token that is cancelled by the first SIGTERM or SIGINT. A second one exits without draining.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn stop_token() -> std::io::Result<CancellationToken> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        if signals.next().await.is_some() {
            tracing::info!("stop asked for: draining (a second signal aborts)");
            token.cancel();
        }
        if signals.next().await.is_some() {
            tracing::error!("second signal: aborting");
            std::process::exit(EXIT_ABORTED);
        }
    });
    Ok(stop)
}
