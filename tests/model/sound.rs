//! Configurations in which every property holds, and delivery can always be completed.
//!
//! Those that are ignored are too large for an unoptimised build. All of them:
//! ```sh
//! cargo test --config 'profile.dev.package.outflow.opt-level=2' --test model -- \
//!   --include-ignored --nocapture
//! ```

use crate::bounds::{Bounds, Claims, Fault, Writers};
use crate::check::{delivers, holds};

/// One member at work, two batches of one row in flight.
const ONE: Bounds = Bounds { started: 1, ..Bounds::plain() };
/// A second one joins at any time.
const TWO: Bounds = Bounds { members: 2, ..ONE };
/// Statement by statement, among writers whose transactions overlap.
const LATE: Bounds =
    Bounds { writers: Writers::Numbered, claims: Claims::Apart, in_flight: 1, ..ONE };
/// Ids before numbers; the second writer, which only has to push the cursor, commits in one step.
const UNNUMBERED: Bounds =
    Bounds { writers: Writers::Unnumbered, events: [2, 2], prompt: true, ..LATE };

#[test]
fn one_member_and_any_two_faults() {
    let bounds = ONE.with_any(2);
    let report = holds("one member, any two faults", bounds);
    assert_eq!(report.states, delivers("one member, any two faults", bounds).states);
}

#[test]
fn batches_of_two_streams_and_any_two_faults() {
    holds(
        "batches of two rows, any two faults",
        Bounds { batch_rows: 2, events: [3, 1], ..ONE }.with_any(2),
    );
}

#[test]
fn two_members_and_any_fault() {
    holds("two members, any fault", TWO.with_any(1));
}

#[test]
fn two_members_of_one_key_and_any_fault() {
    let bounds = Bounds { events: [0, 2], ..TWO }.with_any(1);
    let report = holds("two members, one key, any fault", bounds);
    assert_eq!(report.states, delivers("two members, one key, any fault", bounds).states);
}

#[test]
fn late_commits() {
    let bounds = Bounds { rollbacks: 1, ..LATE };
    let report = holds("late commits", bounds);
    assert_eq!(report.states, delivers("late commits", bounds).states);
}

#[test]
fn late_commits_and_any_fault() {
    holds(
        "late commits, any fault",
        Bounds { claims: Claims::Atomic, in_flight: 2, ..LATE }.with_any(1),
    );
}

#[test]
fn late_commits_and_two_members() {
    holds("late commits, two members", Bounds { members: 2, claims: Claims::Atomic, ..LATE });
}

#[test]
fn ids_before_numbers() {
    holds("ids before numbers", UNNUMBERED);
}

/// One id far ahead of the others, which the sequence passes.
#[test]
fn ids_ahead_of_the_sequence() {
    holds("ids ahead", Bounds { ahead: true, prompt: true, events: [3, 1], ..LATE });
    holds("ids ahead, before numbers", Bounds { ahead: true, events: [2, 1], ..UNNUMBERED });
}

/// Connections are lost with the master: answers do not come, sessions are ended meanwhile.
#[test]
fn a_fail_over_that_loses_the_last_script() {
    let faults =
        [(Fault::FailOver, 1), (Fault::LostReply, 1), (Fault::LostCommit, 1), (Fault::Kill, 1)];
    holds("a fail-over and one more", Bounds { events: [2, 2], ..ONE }.with(&faults, 2));
    holds("a fail-over and two members", TWO.with(&faults, 1));
    holds(
        "a fail-over and one more, two members of one key",
        Bounds { events: [0, 2], in_flight: 1, ..TWO }.with(&faults, 2),
    );
}

/// With `redis.wait_replicas` a fail-over is as any other fault: every promise holds.
#[test]
fn a_fail_over_that_replicas_were_waited_for() {
    let faults = [
        (Fault::FailOver, 1),
        (Fault::LostReply, 1),
        (Fault::LostCommit, 1),
        (Fault::Kill, 1),
        (Fault::Crash, 1),
    ];
    let one = Bounds { waits: true, ..ONE };
    holds(
        "waited for: a fail-over and one more",
        Bounds { events: [2, 2], ..one }.with(&faults, 2),
    );
    let two = Bounds { members: 2, ..one };
    holds("waited for: a fail-over and two members", two.with(&faults, 1));
    let one_key = Bounds { events: [0, 2], in_flight: 1, ..two };
    holds("waited for: a fail-over and one more, two members of one key", one_key.with(&faults, 2));
}

#[test]
#[ignore = "large"]
fn one_member_and_any_three_faults() {
    let bounds = ONE.with_any(3);
    let report = holds("one member, any three faults", bounds);
    assert_eq!(report.states, delivers("one member, any three faults", bounds).states);
}

#[test]
fn events_that_come_meanwhile_and_any_two_faults() {
    holds(
        "events meanwhile, any two faults",
        Bounds { writers: Writers::Atomic, ..ONE }.with_any(2),
    );
}

#[test]
#[ignore = "large"]
fn two_members_of_one_key_and_any_two_faults() {
    holds("two members, one key, any two faults", Bounds { events: [0, 2], ..TWO }.with_any(2));
}

#[test]
#[ignore = "large"]
fn two_members_and_any_fault_deliver() {
    let bounds = TWO.with_any(1);
    delivers("two members, any fault", bounds);
}

#[test]
#[ignore = "large"]
fn two_members_with_one_batch_and_any_two_faults() {
    holds("two members, one batch, any two faults", Bounds { in_flight: 1, ..TWO }.with_any(2));
}

#[test]
#[ignore = "large"]
fn late_commits_in_two_batches() {
    holds("late commits, two batches", Bounds { in_flight: 2, events: [2, 2], ..LATE });
}

#[test]
#[ignore = "large"]
fn late_commits_two_members_and_any_fault() {
    let bounds = Bounds { members: 2, claims: Claims::Atomic, ..LATE }.with_any(1);
    holds("late commits, two members, any fault", bounds);
}

#[test]
#[ignore = "large"]
fn ids_before_numbers_of_both_writers() {
    holds("ids before numbers, both writers", Bounds { prompt: false, ..UNNUMBERED });
}
