//! What a member says of itself in its row of `outflow.member`, for `outflow status` to read from anywhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::sink::Refusal;

/// Parked streams that are named; there may be more.
const PARKED_MAX: usize = 100;
/// Of what Redis said.
const REASON_CHARS_MAX: usize = 200;

/// How fast a member is, and which streams it has parked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Events appended per second, over the last seconds.
    pub events_per_second: f64,
    /// Streams that refuse their events, at most 100.
    pub parked: Vec<ParkedStream>,
}

/// A stream that refuses its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedStream {
    /// Its name.
    pub stream: String,
    /// What Redis said, the last time.
    pub reason: String,
    /// Since when it refuses.
    pub since: Timestamp,
    /// When it is tried again; in the past while that is under way.
    pub next_probe: Timestamp,
}

/// What a report is made from. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    seat: Option<i32>,
    events_per_second: f64,
    parked: BTreeMap<String, ParkedStream>,
}

impl Progress {
    pub(super) fn seated(&self, seat: i32) {
        self.state().seat = Some(seat);
    }

    pub(super) fn seat(&self) -> Option<i32> {
        self.state().seat
    }

    pub(super) fn paced(&self, events_per_second: f64) {
        // Finer differences would be a write each for nothing that anybody sees.
        self.state().events_per_second = (events_per_second * 10.0).round() / 10.0;
    }

    pub(super) fn refused(&self, refusal: &Refusal, pause: Duration) {
        let now = Timestamp::now();
        let next_probe = jiff::SignedDuration::try_from(pause).map_or(now, |pause| now + pause);
        let reason = refusal.message.chars().take(REASON_CHARS_MAX).collect();
        let mut state = self.state();
        let since = state.parked.get(&refusal.stream).map_or(now, |known| known.since);
        let stream = refusal.stream.clone();
        state.parked.insert(stream.clone(), ParkedStream { stream, reason, since, next_probe });
    }

    pub(super) fn took(&self, stream: &str) {
        self.state().parked.remove(stream);
    }

    pub(super) fn report(&self) -> Report {
        let state = self.state();
        let parked = state.parked.values().take(PARKED_MAX).cloned().collect();
        Report { events_per_second: state.events_per_second, parked }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
