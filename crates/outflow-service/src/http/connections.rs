//! The connections of one listener: as many as there is room for.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{self, Client, State};
use super::wire::{Peer, Wire};

/// How long no connection is dropped after it was opened, has begun a request or got an answer:
/// what its client sent next may be here already, without its task having seen it.
const MOMENT: Duration = Duration::from_millis(100);

/// Ends with its tasks: dropping it drops every connection.
pub(super) struct Connections {
    most: usize,
    wire: Wire,
    router: Router,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    /// Those that have not been told to leave.
    known: Vec<Known>,
}

struct Known {
    task: AbortHandle,
    state: watch::Receiver<State>,
    leave: CancellationToken,
}

impl Known {
    fn make_room(self) {
        if self.state.borrow().is_receiving() {
            self.task.abort();
        } else {
            self.leave.cancel();
        }
    }
}

impl Connections {
    pub(super) fn new(most: usize, wire: Wire, router: Router, stop: CancellationToken) -> Self {
        Self { most, wire, router, stop, tasks: JoinSet::new(), known: Vec::with_capacity(most) }
    }

    /// Waits until there is room for one more. If there is none, whichever has been idle or
    /// half-sent for longest makes it; one with a whole request in hand never does, nor one that
    /// has not had a moment. So a client that holds many connections open, or opens many again and
    /// again, keeps nobody else out for long.
    pub(super) async fn room(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        while self.tasks.len() >= self.most {
            self.known.retain(|known| !known.task.is_finished());
            let oldest = self.oldest();
            let patience =
                oldest.map_or(MOMENT, |(since, _at)| MOMENT.saturating_sub(since.elapsed()));
            if patience.is_zero()
                && let Some((_since, at)) = oldest
            {
                self.known.remove(at).make_room();
            }
            // What is told to leave may have an answer to send first; what has a request in hand
            // may become idle.
            let patience = if patience.is_zero() { MOMENT } else { patience };
            let _ended = tokio::time::timeout(patience, self.tasks.join_next()).await;
        }
    }

    /// Which has waited for its client for longest, and since when.
    fn oldest(&self) -> Option<(Instant, usize)> {
        let known = self.known.iter().enumerate();
        known.filter_map(|(at, known)| Some((known.state.borrow().since()?, at))).min()
    }

    pub(super) fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        let ((sender, state), leave) = (watch::channel(State::fresh()), self.stop.child_token());
        let task = self.tasks.spawn(connection::serve(
            Client { stream, peer: Peer(peer), wire: self.wire.clone() },
            self.router.clone(),
            sender,
            leave.clone(),
            self.stop.clone(),
        ));
        if self.known.len() >= self.most {
            self.known.retain(|known| !known.task.is_finished());
        }
        self.known.push(Known { task, state, leave });
    }

    /// Waits until every connection has ended, which each does by itself after a stop.
    pub(super) async fn finish(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
