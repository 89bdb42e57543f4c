//! Parking streams that refuse their events, and letting them go again.

use std::time::Instant;

use super::Relay;
use super::encode::Entries;
use super::outbox::Outbox;
use super::sink::{Refusal, Sink};

impl<O: Outbox, S: Sink> Relay<O, S> {
    /// The streams that are to be tried, and all that claims leave out.
    pub(super) fn due_and_parked(&self) -> (Vec<String>, Vec<String>) {
        let mut parked = self.parked();
        let released = parked.release(Instant::now());
        if released.rewind {
            self.outbox.rewind();
        }
        for stream in released.given_up {
            tracing::error!(
                outbox = self.name,
                stream,
                "a stream has refused its events for longer than park_max: dead-lettering them"
            );
        }
        (parked.due(), parked.names())
    }

    /// Parks the streams that refused, so that claims leave them out. Returns their names.
    pub(super) fn park(&self, refused: &[Refusal]) -> String {
        let mut parked = self.parked();
        for refusal in refused {
            let (pause, new) = parked.park(&refusal.stream, Instant::now());
            self.observer.refused(refusal, pause);
            if new {
                let (stream, reason) = (&refusal.stream, &refusal.message);
                tracing::error!(
                    outbox = self.name,
                    stream,
                    reason,
                    ?pause,
                    "a stream refuses its events: parked it; the relay probes it after the pause"
                );
            }
        }
        self.observer.parked(parked.len());
        let names: Vec<&str> = refused.iter().map(|refusal| refusal.stream.as_str()).collect();
        names.join(", ")
    }

    /// Lets go of parked streams that took their events.
    pub(super) fn unpark(&self, entries: &Entries) {
        let mut parked = self.parked();
        for stream in parked.took(entries.filled()) {
            self.observer.took(&stream);
            tracing::info!(outbox = self.name, stream, "the stream accepts its events again");
            // The rest of them is behind the cursor.
            self.outbox.rewind();
        }
        self.observer.parked(parked.len());
    }

    /// A batch that was to try this stream is done. If its event went to the dead letters, nobody
    /// knows more of the stream than before: the next event tries it.
    pub(super) fn tried(&self, stream: Option<&str>, entries: &Entries) {
        if let Some(stream) = stream.filter(|tried| !entries.filled().any(|name| name == *tried)) {
            self.parked().untried(stream);
        }
    }
}
