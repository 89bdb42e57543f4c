//! How an outbox stands, for the probes: what keeps it from delivering, and whether its loop makes
//! progress.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::observe::metrics::report::Problem;

/// A loop without a sign of life for so long hangs. The longest step that may take its time is a
/// recovery: three answers of Postgres at 40 s each.
const STALL_LIMIT: Duration = Duration::from_mins(2);

/// The health of an outbox. Clones share it.
#[derive(Debug, Clone)]
pub struct Health {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    since: Instant,
    problem: Option<String>,
    /// The same, for who reads it from elsewhere.
    trouble: Option<Problem>,
    /// The last sign of life.
    beat: Instant,
    /// Waits to be woken, which may take any time: asleep, or a standby.
    resting: bool,
}

impl Health {
    /// Just started: not ready yet.
    pub fn starting() -> Self {
        let now = Instant::now();
        let (problem, trouble) = (Some("starting".to_owned()), Some(Problem::now("starting")));
        let state = State { since: now, problem, trouble, beat: now, resting: false };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn set(&self, problem: Option<&str>) {
        let mut state = self.state();
        state.beat = Instant::now();
        if state.problem.as_deref() != problem {
            state.since = state.beat;
            state.problem = problem.map(str::to_owned);
            // One outage, however its words change.
            let since = state.trouble.as_ref().map(|trouble| trouble.since);
            state.trouble = problem.map(Problem::now);
            if let (Some(trouble), Some(since)) = (&mut state.trouble, since) {
                trouble.since = since;
            }
        }
    }

    /// The loop has done something.
    pub(crate) fn beat(&self) {
        self.state().beat = Instant::now();
    }

    /// The loop has nothing to do until it is woken, or again something.
    pub(crate) fn rests(&self, resting: bool) {
        let mut state = self.state();
        state.beat = Instant::now();
        state.resting = resting;
    }

    /// What keeps events from being delivered, and for how long; `None` if nothing does.
    pub fn problem(&self) -> Option<(String, Duration)> {
        let state = self.state();
        state.problem.as_ref().map(|problem| (problem.clone(), state.since.elapsed()))
    }

    /// As [`Health::problem`], with the point in time.
    pub fn trouble(&self) -> Option<Problem> {
        self.state().trouble.clone()
    }

    /// For how long the loop has made no progress, if that is longer than it can take. A server
    /// that is away is no reason: trying again is progress.
    pub fn stalled(&self) -> Option<Duration> {
        self.stalled_at(Instant::now())
    }

    fn stalled_at(&self, now: Instant) -> Option<Duration> {
        let state = self.state();
        let silent = now.saturating_duration_since(state.beat);
        (!state.resting && silent > STALL_LIMIT).then_some(silent)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_gives_no_sign_of_life_hangs_unless_it_rests() {
        let health = Health::starting();
        let late = Instant::now() + STALL_LIMIT + Duration::from_secs(1);
        assert_eq!(health.stalled_at(Instant::now()), None);
        assert!(health.stalled_at(late).is_some());
        health.rests(true);
        assert_eq!(health.stalled_at(late), None, "it waits to be woken");
        health.rests(false);
        assert!(health.stalled_at(late).is_some());
        health.set(Some("Redis is away"));
        assert_eq!(health.stalled_at(Instant::now()), None, "it tries again: that is alive");
    }
}
