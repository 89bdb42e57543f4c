//! Unix signals: the first SIGTERM or SIGINT asks for a drain, the second ends the process at once;
//! SIGHUP asks to reload; SIGUSR1 and SIGUSR2 ask to pause and to resume.

use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook_tokio::Signals;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::telemetry::Log;
use outflow_core::task::owned;

/// What a shell reports for a process that died of SIGINT; used when a second signal cuts a drain
/// short.
const EXIT_ABORTED: i32 = 130;

/// Listens for signals while it is held.
pub type Listener = AbortOnDropHandle<()>;

/// Returns a token that is cancelled by the first SIGTERM or SIGINT. A second one exits without
/// draining.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn stop_token(log: &Log) -> std::io::Result<(CancellationToken, Listener)> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let stop = CancellationToken::new();
    let (token, log) = (stop.clone(), log.clone());
    let listener = owned(async move {
        if signals.next().await.is_some() {
            tracing::info!(
                "received a stop signal: settling what is in flight (a second signal \
                aborts)"
            );
            token.cancel();
        }
        if signals.next().await.is_some() {
            tracing::error!("received a second stop signal: aborting");
            log.flush();
            std::process::exit(EXIT_ABORTED);
        }
    });
    Ok((stop, listener))
}

/// Returns a channel that receives SIGHUPs. Signals that arrive before the last one was read are
/// merged into one.
///
/// # Errors
/// When the handler cannot be installed.
pub fn hangups() -> std::io::Result<(mpsc::Receiver<()>, Listener)> {
    let mut signals = Signals::new([SIGHUP])?;
    let (heard, hangups) = mpsc::channel(1);
    let listener = owned(async move {
        while signals.next().await.is_some() {
            // Full: one is waiting to be looked at already, and whoever reloads then reads the
            // newest file.
            if let Err(mpsc::error::TrySendError::Closed(())) = heard.try_send(()) {
                break;
            }
        }
    });
    Ok((hangups, listener))
}

/// Calls `set` with `true` for each SIGUSR1, and with `false` for each SIGUSR2.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn pauses(set: impl Fn(bool) + Send + 'static) -> std::io::Result<Listener> {
    let mut signals = Signals::new([SIGUSR1, SIGUSR2])?;
    Ok(owned(async move {
        while let Some(signal) = signals.next().await {
            set(signal == SIGUSR1);
        }
    }))
}
