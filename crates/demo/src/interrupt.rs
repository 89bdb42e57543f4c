//! Ctrl-C, SIGTERM and a closed terminal: the first ends the demo in order, the second at once.
//! Either way the directory is removed, which is why this is not `signals::stop_token`: that one
//! exits on the spot.

use std::sync::Arc;

use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use outflow_core::task::owned;

use super::board::say;

/// What the user has asked for by signals.
#[derive(Debug, Clone, Default)]
pub struct Interrupts {
    /// Place no more orders, check those that were placed, and stop.
    pub stop: CancellationToken,
    /// Drop everything.
    pub abort: CancellationToken,
    _watcher: Option<Arc<AbortOnDropHandle<()>>>,
}

impl Interrupts {
    /// Installs the handlers.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn install() -> std::io::Result<Self> {
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        let interrupts = Self::default();
        let tokens = interrupts.clone();
        let watcher = owned(async move {
            if signals.next().await.is_some() {
                say("stopping in order; once more ends it at once");
                tokens.stop.cancel();
            }
            if signals.next().await.is_some() {
                tokens.abort.cancel();
            }
        });
        Ok(Self { _watcher: Some(Arc::new(watcher)), ..interrupts })
    }
}
