//! When retention is due, and what is known of it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::plain::Pass;
use crate::relay::outbox::patience::Patience;

/// What to do with what is held back: for whoever shows it.
pub type Teller = Box<dyn Fn(Vec<String>) + Send + Sync>;

/// A look at a large partition reads all of it.
const USUAL: Duration = Duration::from_mins(5);

/// When it is done, and what is known of it.
pub(in crate::relay::outbox::kept) struct Retention {
    pub(super) state: Mutex<State>,
    pub(super) teller: Teller,
}

/// See the fields.
pub(super) struct State {
    pub(super) due: Instant,
    /// Of a plain table, if a round is not over.
    pub(super) pass: Pass,
    pub(super) told_of_privilege: bool,
    /// How long the next round may take.
    pub(super) patience: Patience,
}

impl Retention {
    pub(in crate::relay::outbox::kept) fn new() -> Self {
        let state = State {
            due: Instant::now(),
            pass: Pass::default(),
            told_of_privilege: false,
            patience: Patience::new(USUAL),
        };
        Self { state: Mutex::new(state), teller: Box::new(|_| {}) }
    }

    /// What is held back is told to this one after each round.
    pub(in crate::relay::outbox::kept) fn telling(self, teller: Teller) -> Self {
        Self { teller, ..self }
    }

    pub(super) fn wait(&self) -> Duration {
        self.state.lock().due.saturating_duration_since(Instant::now())
    }
}
