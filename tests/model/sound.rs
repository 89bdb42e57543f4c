//! Configurations in which every property holds.

use crate::bounds::{Bounds, Claims, Fault, Writers};
use crate::check::holds;

const EACH: [(Fault, u8); 9] = [
    (Fault::Crash, 9),
    (Fault::Freeze, 9),
    (Fault::LostReply, 9),
    (Fault::LostCommit, 9),
    (Fault::Kill, 9),
    (Fault::Cut, 9),
    (Fault::Refusal, 9),
    (Fault::Outage, 9),
    (Fault::Leave, 9),
];

#[test]
fn a1_one_member_any_two_faults() {
    holds("one member, any two", Bounds{started: 1, ..Bounds::plain()}.with(&EACH, 2));
}
#[test]
fn a2_one_member_any_three_faults() {
    holds("one member, any three", Bounds{started: 1, ..Bounds::plain()}.with(&EACH, 3));
}
#[test]
fn a3_one_member_two_rows() {
    holds("one member, two rows, any two", Bounds { batch_rows: 2, events: [3, 1], started: 1, ..Bounds::plain() }.with(&EACH, 2));
}
#[test]
fn a4_writers() {
    holds("one member, writers, any two", Bounds { writers: Writers::Atomic, started: 1, ..Bounds::plain() }.with(&EACH, 2));
}
#[test]
fn b1_two_members() {
    holds("two, one each, any 1", Bounds { members: 2, events: [2, 0], started: 1, ..Bounds::plain() }.with(&EACH, 1));
}
#[test]
fn b2_two_members() {
    holds("two, in flight 1, any 2", Bounds { members: 2, in_flight: 1, events: [2, 0], started: 1, ..Bounds::plain() }.with(&EACH, 2));
}
#[test]
fn b3_two_members() {
    holds("two, [2,1], any 1", Bounds { members: 2, started: 1, ..Bounds::plain() }.with(&EACH, 1));
}
#[test]
fn b4_two_members() {
    holds("two, [2,0] any 2", Bounds { members: 2, events: [2, 0], started: 1, ..Bounds::plain() }.with(&EACH, 2));
}
#[test]
fn c1_late() {
    let bounds = Bounds { writers: Writers::Numbered, events: [2,2], claims: Claims::Apart, in_flight: 2, started: 1, ..Bounds::plain() };
    holds("late", bounds);
}
#[test]
fn c2_late() {
    let bounds = Bounds { writers: Writers::Unnumbered, claims: Claims::Apart, ticks: 3, events: [2,1], in_flight: 2, started: 1, ..Bounds::plain() };
    holds("unnum", bounds);
}
#[test]
fn c3_late2() {
    let bounds = Bounds { writers: Writers::Numbered, events: [2,1], members: 2, in_flight: 1, started: 1, ..Bounds::plain() };
    holds("two members late no fault", bounds);
}
#[test]
fn c4_late2() {
    let bounds = Bounds { writers: Writers::Numbered, events: [2,1], in_flight: 2, started: 1, ..Bounds::plain() }.with(&EACH, 1);
    holds("one member late any 1", bounds);
}

#[test]
fn d1() {
    crate::check::delivers("one any two", &Bounds{started: 1, ..Bounds::plain()}.with(&EACH, 2));
}
#[test]
fn d2() {
    crate::check::delivers("two members any 1", &Bounds { members: 2, started: 1, ..Bounds::plain() }.with(&EACH, 1));
}
#[test]
fn d3() {
    let bounds = Bounds { writers: Writers::Numbered, claims: Claims::Apart, in_flight: 1, started: 1, ..Bounds::plain() };
    crate::check::delivers("late", &bounds);
    let bounds = Bounds { writers: Writers::Unnumbered, claims: Claims::Apart, in_flight: 1, ticks: 2, started: 1, ..Bounds::plain() };
    crate::check::delivers("unnumbered", &bounds);
}
#[test]
fn c5_unnumbered() {
    let bounds = Bounds { writers: Writers::Unnumbered, claims: Claims::Apart, ticks: 2, events: [2,2], in_flight: 1, started: 1, ..Bounds::plain() };
    holds("unnum", bounds);
}
