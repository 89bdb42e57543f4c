//! Runs a configuration to its end, and says how large it was.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::bounds::{Bounds, Fault};
use crate::liveness::explore;
use crate::properties::DELIVERED;
use crate::state::State;
use crate::step::Step;

const THREADS: usize = 2;
/// Steps, not states. A configuration that needs more is a mistake: it ends the run, and the run
/// fails.
const STEPS_MAX: usize = 300_000_000;

/// How large a run was.
pub(crate) struct Report {
    name: String,
    pub(crate) states: usize,
    took: Duration,
}

impl Report {
    fn line(&self) -> String {
        format!("model: {}: {} states in {:.1} s", self.name, self.states, self.took.as_secs_f64())
    }
}

/// Visits every state and asserts every property.
pub(crate) fn holds(name: &str, bounds: Bounds) -> Report {
    let started = Instant::now();
    let checker =
        bounds.checker().threads(THREADS).target_state_count(STEPS_MAX).spawn_dfs().join();
    let report = Report {
        name: name.to_owned(),
        states: checker.unique_state_count(),
        took: started.elapsed(),
    };
    tell(&report.line());
    let failed = checker
        .discoveries()
        .into_keys()
        .find(|of| bounds.property(of).expectation.discovery_is_failure());
    if let Some(property) = failed {
        // Once more, for the shortest way.
        counterexample(name, bounds, property);
        panic!("{}: not so: {property}", report.line());
    }
    // `is_done` alone does not tell a limit that was reached from an end.
    assert!(
        checker.is_done() && checker.state_count() < STEPS_MAX,
        "{}: not exhausted",
        report.line()
    );
    checker.assert_properties();
    report
}

/// From every state delivery can be completed without a further fault, and every fault that may
/// happen does.
pub(crate) fn delivers(name: &str, bounds: Bounds) -> Report {
    let started = Instant::now();
    let graph = explore(&bounds);
    let report = Report {
        name: format!("{name}, backwards"),
        states: graph.states,
        took: started.elapsed(),
    };
    tell(&report.line());
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for (step, times) in &graph.taken {
        *taken.entry(step.kind()).or_default() += times;
    }
    tell(&format!("  steps {taken:?}"));
    for fault in Fault::ALL {
        let happens = graph.taken.keys().any(|step| step.fault() == Some(fault));
        let may =
            bounds.faults[fault as usize] > 0 && (fault != Fault::Leave || bounds.members > 1);
        assert!(happens || !may, "{}: {fault:?} never happens", report.line());
    }
    assert!(
        graph.stuck == 0,
        "{}: stuck in {} states, first after {:?}",
        report.line(),
        graph.stuck,
        graph.way
    );
    report
}

/// The shortest way on which a property fails; it must be there.
pub(crate) fn counterexample(name: &str, bounds: Bounds, property: &'static str) -> Report {
    let started = Instant::now();
    let (states, way) = if property == DELIVERED {
        let graph = explore(&bounds);
        (graph.states, (graph.stuck > 0).then(|| format!("{:?}\n", graph.way)))
    } else {
        let wanted = HasDiscoveries::AnyOf([property].into());
        let checker =
            bounds.checker().finish_when(wanted).target_state_count(STEPS_MAX).spawn_bfs().join();
        (checker.unique_state_count(), checker.discovery(property).map(told))
    };
    let report = Report { name: name.to_owned(), states, took: started.elapsed() };
    let line = report.line();
    let way = way.unwrap_or_else(|| panic!("{line}: no counterexample to {property:?}"));
    tell(&format!("{line}, not so: {property}, after\n  {way}"));
    report
}

/// The steps of a path, and where they led.
fn told(path: Path<State, Step>) -> String {
    let mut text = String::new();
    for (state, step) in path.into_vec() {
        let _ = match step {
            Some(step) => write!(text, "{step:?} "),
            None => write!(
                text,
                "\n  streams {:?}, rows {:?}",
                state.redis.streams, state.postgres.table
            ),
        };
    }
    text
}

#[expect(
    clippy::print_stdout,
    reason = "the numbers are what a run is for: shown with --nocapture, and on failure"
)]
fn tell(line: &str) {
    println!("{line}");
}
