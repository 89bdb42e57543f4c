//! What is known of a connection beyond the client's own word: that it is lost, and why.
//!
//! fred (10.1) calls itself connected until it begins to connect again, and before that it pauses
//! (`router/utils.rs`, `reconnect_with_policy`). A command that it is given in this pause waits for
//! the next connection, up to its own timeout: a claim would keep its rows locked for ten seconds,
//! to learn what was known at once.

use std::sync::Arc;

use fred::clients::Client;
use fred::interfaces::EventInterface as _;
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use outflow_core::task;

/// One connection, followed by its events.
#[derive(Debug)]
pub(super) struct Link {
    state: Arc<State>,
    _follower: AbortOnDropHandle<()>,
}

/// What is known of it.
#[derive(Debug, Default)]
struct State {
    is_lost: watch::Sender<bool>,
    last_error: Mutex<Option<String>>,
    /// The name that the server knows this connection by, for as long as it lasts.
    mark: Mutex<Option<String>>,
}

impl Link {
    /// Follows `client` until nobody asks any more.
    ///
    /// One task for both kinds of events, the losses first: a connection that stands must never
    /// pass for lost, since no further event would say otherwise.
    pub(super) fn follow(client: &Client) -> Self {
        let state = Arc::new(State::default());
        let known = Arc::clone(&state);
        let (mut errors, mut connections) = (client.error_rx(), client.reconnect_rx());
        let follower = task::owned(async move {
            loop {
                tokio::select! {
                    biased;
                    error = errors.recv() => match error {
                        Ok((error, _server)) => known.lost(Some(error.details().to_owned())),
                        Err(RecvError::Lagged(_)) => known.lost(None),
                        Err(RecvError::Closed) => return,
                    },
                    connection = connections.recv() => match connection {
                        Ok(_) | Err(RecvError::Lagged(_)) => known.connected(),
                        Err(RecvError::Closed) => return,
                    },
                }
            }
        });
        Self { state, _follower: follower }
    }

    pub(super) fn is_lost(&self) -> bool {
        *self.state.is_lost.borrow()
    }

    /// Waits until it is not lost, which is heard of a moment after the client calls itself
    /// connected.
    pub(super) async fn stands(&self) {
        // Fails only without a sender, which `self` has.
        let _ = self.state.is_lost.subscribe().wait_for(|is_lost| !is_lost).await;
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.state.last_error.lock().clone()
    }

    pub(super) fn mark(&self) -> Option<String> {
        self.state.mark.lock().clone()
    }

    pub(super) fn set_mark(&self, mark: Option<String>) {
        self.state.set_mark(mark);
    }
}

impl State {
    fn set_mark(&self, mark: Option<String>) {
        *self.mark.lock() = mark;
    }

    fn lost(&self, error: Option<String>) {
        self.is_lost.send_replace(true);
        if error.is_some() {
            *self.last_error.lock() = error;
        }
    }

    fn connected(&self) {
        self.is_lost.send_replace(false);
        self.set_mark(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_connection_is_not_lost_and_has_no_name_yet() {
        let link = State::default();
        assert!(!*link.is_lost.borrow(), "a first connection is on its way");
        link.lost(Some("closed".to_owned()));
        link.lost(None);
        assert!(*link.is_lost.borrow());
        assert_eq!(link.last_error.lock().as_deref(), Some("closed"));
        link.set_mark(Some("outflow-1".to_owned()));
        link.connected();
        assert!(!*link.is_lost.borrow());
        assert_eq!(*link.mark.lock(), None);
    }
}
