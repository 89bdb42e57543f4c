//! Heeding pauses: a paused stream is left out of the claims as a parked one is, and a paused
//! outbox makes no claims at all. What is in flight when a pause begins is finished.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::MutexGuard;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Relay;
use super::parked::Parked;
use super::pause::{Pause, Pauses};
use super::readiness::ASK_PAUSE;
use super::session::Session;
use crate::relay::outbox::Outbox;
use crate::relay::sink::Sink;

impl<O: Outbox, S: Sink> Relay<O, S> {
    /// What claims leave out. Whoever looks has heeded what is paused now: a stream that was
    /// resumed has rows behind the cursor, so the next claim starts at the beginning.
    pub(super) fn parked(&self) -> MutexGuard<'_, Parked> {
        let mut parked = self.parked.lock();
        let pauses = Arc::clone(&self.pauses.borrow());
        if let Some(change) = parked.pause(&pauses, Instant::now()) {
            if change.rewind {
                self.outbox.rewind();
            }
            self.observer.paused(&pauses);
            change.began.iter().for_each(|pause| self.tell_paused(pause));
            change.ended.iter().for_each(|pause| self.tell_resumed(pause));
        }
        for stream in self.outbox.wanted() {
            if parked.try_now(&stream) {
                tracing::info!(
                    outbox = self.name,
                    stream,
                    "somebody asked for it: probing the parked stream now"
                );
            }
        }
        parked
    }

    /// Whether the whole outbox is paused.
    pub(super) fn is_paused(&self) -> bool {
        self.pauses.borrow().of_outbox().is_some()
    }

    /// Tells of each change of the pauses from here on.
    pub(super) fn pauses_from_here(&self) -> watch::Receiver<Arc<Pauses>> {
        let mut pauses = self.pauses.clone();
        pauses.mark_unchanged();
        pauses
    }

    /// Heeds each change at once, also while nobody claims.
    pub(super) async fn keep_pauses(&self) -> Infallible {
        let mut pauses = self.pauses_from_here();
        loop {
            drop(self.parked());
            changed(&mut pauses).await;
        }
    }

    /// Waits until the outbox is resumed. Neither server is asked for anything but that, so that
    /// either may be under maintenance: this is no outage.
    pub(super) async fn rest_while_paused(&self, session: &Session, stop: &CancellationToken) {
        // Nothing comes along that drops them.
        self.forget(session).await;
        let mut pauses = self.pauses_from_here();
        while self.is_paused() && !stop.is_cancelled() {
            self.observer.up();
            tokio::select! {
                () = changed(&mut pauses) => {}
                () = tokio::time::sleep(ASK_PAUSE) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn tell_paused(&self, pause: &Pause) {
        let Pause { stream, why, since, until, os_user, host, role } = pause;
        tracing::warn!(
            outbox = self.name,
            stream,
            why,
            %since,
            until = until.map(tracing::field::display),
            os_user,
            host,
            role,
            "paused: no events are claimed until the pause ends; what is in flight is finished"
        );
    }

    fn tell_resumed(&self, pause: &Pause) {
        let Pause { stream, why, since, .. } = pause;
        tracing::info!(outbox = self.name, stream, why, %since, "the pause is over: resuming");
    }
}

/// Waits for the next change; for ever, if there is nobody who could change anything.
pub(super) async fn changed(pauses: &mut watch::Receiver<Arc<Pauses>>) {
    if pauses.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
