//! Claiming: the next rows, or one event that tries a stream which was parked; and what became of
//! rows that were set aside.

use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::Relay;
use super::pace::overdue;
use super::taken::Taken;
use super::trouble::Trouble;
use crate::relay::outbox::{First, Outbox, SetAside};
use crate::relay::sink::Sink;

impl<O: Outbox, S: Sink> Relay<O, S> {
    /// Claims the next rows. Those that are set aside instead may be many: between them it is asked
    /// to stop.
    pub(super) async fn claim(
        &self,
        stop: &CancellationToken,
    ) -> Result<Option<Taken<O::Claim>>, Trouble> {
        loop {
            // What is given up has taken nothing: its session is closed.
            let claimed = tokio::select! {
                claimed = self.claim_once() => claimed,
                () = overdue(stop) => return Ok(None),
            };
            let aside = self.outbox.set_aside();
            self.aside(&aside);
            let claim = claimed?;
            let is_over = stop.is_cancelled() || self.is_paused();
            if claim.is_some() || aside.is_empty() || is_over {
                return Ok(claim);
            }
        }
    }

    /// Tells of rows that were set aside.
    pub(super) fn aside(&self, aside: &[SetAside]) {
        for aside in aside {
            // One that was held back before, when others were delivered, says nothing of these.
            if let SetAside::Held { words, new: true, alone: true, .. } = aside {
                self.grants_nothing.store(true, Ordering::Relaxed);
                self.observer.down(&format!("Postgres: {words}"));
            }
            match aside {
                SetAside::Dead { reason, event, words, missing } => {
                    // The log has a line with counts for all of them.
                    self.observer.dead_lettered(*reason, event, words);
                    let (reason, missing) = (reason.as_str(), missing.join(", "));
                    tracing::debug!(
                        outbox = self.name,
                        event,
                        reason,
                        words,
                        missing,
                        "dead-lettered an event"
                    );
                }
                SetAside::Held { event, words, pause, new: true, .. } => tracing::error!(
                    outbox = self.name,
                    event,
                    reason = words,
                    ?pause,
                    "Postgres refuses to delete an event: holding back the events of its \
                        key, and retrying after the pause"
                ),
                SetAside::Held { event, words, pause, new: false, .. } => {
                    tracing::debug!(
                        outbox = self.name,
                        event,
                        reason = words,
                        ?pause,
                        "the event is still held back"
                    );
                }
            }
        }
    }

    pub(super) async fn claim_once(&self) -> Result<Option<Taken<O::Claim>>, Trouble> {
        loop {
            let (due, parked) = self.due_and_parked();
            // A parked stream is tried with one event, alone: if it refuses again, nothing was
            // appended and nothing is in doubt.
            for stream in due {
                match self.outbox.claim_of(&stream).await? {
                    First::Claimed(claim) => {
                        self.parked().probed(&stream);
                        return Ok(Some(Taken { claim, tries: Some(stream) }));
                    }
                    // What follows it tries the stream.
                    First::SetAside => return Ok(None),
                    First::Nothing => {
                        if self.parked().nothing_waits(&stream) {
                            self.observer.took(&stream);
                            self.outbox.rewind();
                        }
                    }
                    // Nothing is known of the stream. The others do not wait for it.
                    First::Later => {
                        let pause = self.parked().later(&stream, Instant::now());
                        if let Some(pause) = pause {
                            tracing::debug!(
                                outbox = self.name,
                                stream,
                                ?pause,
                                "no event of the parked stream can be claimed now: probing it \
                                    again after the pause"
                            );
                        }
                    }
                }
            }
            let claim = self.outbox.claim(&parked).await;
            // A stream may have taken its events, or have been resumed, while this claim was on its
            // way. The claim has left them out and is past them: whatever it found, the next one
            // starts at the beginning.
            let is_outdated = self.parked().has_let_go_of(&parked);
            if is_outdated {
                self.outbox.rewind();
            }
            match claim? {
                None if is_outdated => {}
                claim => return Ok(claim.map(|claim| Taken { claim, tries: None })),
            }
        }
    }
}
