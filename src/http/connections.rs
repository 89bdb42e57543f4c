//! The connections of one listener: as many as there is room for.

use axum::Router;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::connection::{self, State};

/// Ends with its tasks: dropping it drops every connection.
pub(super) struct Connections {
    most: usize,
    router: Router,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    /// The oldest first.
    known: Vec<Known>,
}

struct Known {
    task: AbortHandle,
    state: watch::Receiver<State>,
    leave: CancellationToken,
}

impl Connections {
    pub(super) fn new(most: usize, router: Router, stop: CancellationToken) -> Self {
        Self { most, router, stop, tasks: JoinSet::new(), known: Vec::with_capacity(most) }
    }

    /// Waits until there is room for one more. If there is none, the oldest one without a request in hand makes it, else the
    /// oldest one that has sent a part of a request only: so a client that holds many connections open keeps nobody else out.
    pub(super) async fn room(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        if self.tasks.len() >= self.most {
            // A request may have come that its connection has not seen yet.
            tokio::task::yield_now().await;
        }
        while self.tasks.len() >= self.most {
            self.known.retain(|known| !known.task.is_finished());
            if let Some(idle) = self.oldest(|state| matches!(state, State::Fresh | State::Answered(_))) {
                self.known.remove(idle).leave.cancel();
            } else if let Some(slow) = self.oldest(|state| state == State::Receiving) {
                self.known.remove(slow).task.abort();
            }
            self.tasks.join_next().await;
        }
    }

    fn oldest(&self, is_it: impl Fn(State) -> bool) -> Option<usize> {
        self.known.iter().position(|known| is_it(*known.state.borrow()))
    }

    pub(super) fn take(&mut self, stream: TcpStream) {
        let ((sender, state), leave) = (watch::channel(State::Fresh), self.stop.child_token());
        let task = self.tasks.spawn(connection::serve(stream, self.router.clone(), sender, leave.clone()));
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
