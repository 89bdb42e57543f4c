//! Heeding back-pressure: while there is a reason to wait, no claim is made. What is in flight is
//! finished. It is no outage: nothing is rolled back, and no pause grows.

use tokio_util::sync::CancellationToken;

use super::Relay;
use super::readiness::ASK_PAUSE;
use super::session::Session;
use super::trouble::Trouble;
use crate::relay::outbox::Outbox;
use crate::relay::sink::Sink;

impl<O: Outbox, S: Sink> Relay<O, S> {
    /// Whether it must not claim now.
    pub(super) fn is_held(&self) -> bool {
        self.holds.hold(&self.name)
    }

    /// Waits while there is a reason to, and tells meanwhile whether Redis would take events: it
    /// may be full already.
    pub(super) async fn wait_while_held(
        &self,
        session: &Session,
        stop: &CancellationToken,
    ) -> Result<(), Trouble> {
        let mut changes = self.holds.changes();
        if !self.is_held() {
            return Ok(());
        }
        // Nothing comes along that drops them.
        self.forget(session).await;
        while self.is_held() && !self.is_paused() && !stop.is_cancelled() {
            match self.ready(session, stop).await {
                Ok(()) => self.observer.up(),
                Err(Trouble::Unavailable(reason)) => self.observer.down(&reason),
                Err(trouble @ (Trouble::Parked(_) | Trouble::Doubt { .. })) => return Err(trouble),
            }
            tokio::select! {
                () = changes.next() => {}
                () = tokio::time::sleep(ASK_PAUSE) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }
}
