//! Runs a configuration to its end, and says how large it was.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Path};

use crate::liveness::explore;
use crate::world::World;

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
pub(crate) fn holds<W: World>(name: &str, bounds: W) -> Report {
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
pub(crate) fn delivers<W: World>(name: &str, bounds: W) -> Report {
    sights(name, bounds).0
}

/// The same; and what has happened on the way ([`World::sight`]).
pub(crate) fn sights<W: World>(name: &str, bounds: W) -> (Report, BTreeMap<String, usize>) {
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
        *taken.entry(W::kind(*step)).or_default() += times;
    }
    taken.extend(graph.sights.iter().map(|(sight, times)| ((*sight).to_owned(), *times)));
    tell(&format!("  steps {taken:?}"));
    let missing = bounds.missing(graph.taken.keys().copied());
    assert!(missing.is_empty(), "{}: never happens: {missing:?}", report.line());
    assert!(
        graph.stuck == 0,
        "{}: stuck in {} states, first after {:?}",
        report.line(),
        graph.stuck,
        graph.way
    );
    (report, taken)
}

/// The shortest way on which a property fails; it must be there.
pub(crate) fn counterexample<W: World>(name: &str, bounds: W, property: &'static str) -> Report {
    let started = Instant::now();
    let (states, way) = if property == W::DELIVERED {
        let graph = explore(&bounds);
        (graph.states, (graph.stuck > 0).then(|| format!("{:?}\n", graph.way)))
    } else {
        let wanted = HasDiscoveries::AnyOf([property].into());
        let checker =
            bounds.checker().finish_when(wanted).target_state_count(STEPS_MAX).spawn_bfs().join();
        (checker.unique_state_count(), checker.discovery(property).map(told::<W>))
    };
    let report = Report { name: name.to_owned(), states, took: started.elapsed() };
    let line = report.line();
    let way = way.unwrap_or_else(|| panic!("{line}: no counterexample to {property:?}"));
    tell(&format!("{line}, not so: {property}, after\n  {way}"));
    report
}

/// The steps of a path, and where they led.
fn told<W: World>(path: Path<W::State, W::Action>) -> String {
    let mut text = String::new();
    for (state, step) in path.into_vec() {
        let _ = match step {
            Some(step) => write!(text, "{step:?} "),
            None => write!(text, "\n  {}", W::told(&state)),
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
