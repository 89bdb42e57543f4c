//! Runs a configuration to its end, and says how large it was.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use stateright::{Checker, Model, Path};

use crate::bounds::Bounds;
use crate::liveness::explore;
use crate::state::State;
use crate::step::Step;

const THREADS: usize = 2;
/// A configuration that grows past this is a mistake, not a proof. It ends the run, and the run fails.
const STATES_MAX: usize = 40_000_000;

/// What a run found.
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) states: usize,
    pub(crate) depth: usize,
    pub(crate) took: Duration,
}

impl Report {
    pub(crate) fn line(&self) -> String {
        let Self { name, states, depth, took } = self;
        format!("model {name}: {states} states, depth {depth}, {:.1} s", took.as_secs_f64())
    }
}

/// Visits every state and asserts every property.
pub(crate) fn holds(name: &str, bounds: Bounds) -> Report {
    let started = Instant::now();
    let checker = bounds.checker().threads(THREADS).target_state_count(STATES_MAX).spawn_dfs().join();
    let report =
        Report { name: name.to_owned(), states: checker.unique_state_count(), depth: checker.max_depth(), took: started.elapsed() };
    tell(&report.line());
    let failed = checker.discoveries().into_keys().find(|of| bounds.property(of).expectation.discovery_is_failure());
    if let Some(property) = failed {
        // Once more, for the shortest way.
        counterexample(name, bounds, property);
        panic!("{}: not so: {property}", report.line());
    }
    assert!(checker.is_done() && checker.state_count() < STATES_MAX, "{}: not exhausted", report.line());
    checker.assert_properties();
    report
}

/// The shortest way on which a property fails.
pub(crate) fn counterexample(name: &str, bounds: Bounds, property: &'static str) -> Report {
    let started = Instant::now();
    let wanted = stateright::HasDiscoveries::AnyOf([property].into());
    let checker = bounds.checker().finish_when(wanted).target_state_count(STATES_MAX).spawn_bfs().join();
    let report =
        Report { name: name.to_owned(), states: checker.unique_state_count(), depth: checker.max_depth(), took: started.elapsed() };
    tell(&report.line());
    let found = checker.discovery(property);
    let others: Vec<&str> = checker.discoveries().into_keys().collect();
    if found.is_none() { tell("NONE"); for (p, path) in checker.discoveries() { tell(p); tell(&told(path)); } return report; }
    assert!(found.is_some(), "{}: no counterexample to {property:?}; found: {others:?}", report.line());
    tell(&format!("{property}: not so\n{}", found.map(told).unwrap_or_default()));
    report
}

/// From every state delivery can be completed without a further fault. As many states as stateright found, if it is
/// known how many.
pub(crate) fn delivers(name: &str, bounds: &Bounds) -> Report {
    let started = Instant::now();
    let graph = explore(bounds);
    let report = Report { name: format!("{name}, backwards"), states: graph.states, depth: 0, took: started.elapsed() };
    tell(&report.line());
    tell(&format!("{:?}", graph.kinds));
    assert!(graph.stuck == 0, "{}: stuck in {} states, the first after\n{:#?}", report.line(), graph.stuck, graph.way);
    report
}

/// A path, a step a line.
pub(crate) fn told(path: Path<State, Step>) -> String {
    let mut text = String::new();
    let mut last = None;
    for (state, step) in path.into_vec() {
        if let Some(step) = step {
            let _ = writeln!(text, "  {step:?}");
        }
        last = Some(state);
    }
    if let Some(state) = last {
        let _ = writeln!(text, "  streams {:?}, table {:?}", state.redis.streams, state.postgres.table);
    }
    text
}

#[expect(clippy::print_stdout, reason = "the issue asks for the numbers: shown with --nocapture, and on failure")]
pub(crate) fn tell(line: &str) {
    println!("{line}");
}
