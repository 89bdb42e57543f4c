//! What the last recovery has found out about the servers.

use parking_lot::Mutex;

/// Shared by the claims, the recovery and the daemon.
#[derive(Debug, Default)]
pub struct Known(Mutex<State>);

#[derive(Debug, Default, Clone)]
struct State {
    timeline: String,
    /// Whether dead letters may stand for rows that are still to come.
    buried: bool,
    sequence: Option<u32>,
    halted: Option<String>,
    healed: u64,
    went_back: u64,
}

impl Known {
    pub(super) fn enter(&self, timeline: &str, buried: bool, sequence: Option<u32>) {
        let mut state = self.0.lock();
        timeline.clone_into(&mut state.timeline);
        (state.buried, state.sequence) = (buried, sequence);
    }

    pub(super) fn timeline(&self) -> String {
        self.0.lock().timeline.clone()
    }

    pub(super) fn of_read(&self) -> (bool, Option<u32>) {
        let state = self.0.lock();
        (state.buried, state.sequence)
    }

    /// Somebody must decide before anything goes on.
    pub(super) fn halt(&self, why: &str) {
        self.0.lock().halted = Some(why.to_owned());
    }

    /// Why nothing goes on, until somebody has decided.
    pub fn halted(&self) -> Option<String> {
        self.0.lock().halted.clone()
    }

    pub(super) fn healed(&self, events: u64) {
        self.0.lock().healed += events;
    }

    pub(super) fn postgres_went_back(&self) {
        self.0.lock().went_back += 1;
    }

    /// Events that were sent again because Redis had lost them, and how often Postgres was found to
    /// have gone back; since this was last asked.
    pub fn take_healed(&self) -> (u64, u64) {
        let mut state = self.0.lock();
        (std::mem::take(&mut state.healed), std::mem::take(&mut state.went_back))
    }
}
