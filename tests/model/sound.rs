//! Configurations in which every property holds.

use crate::bounds::{Bounds, Claims, Fault, Writers};
use crate::check::holds;

#[test]
fn late_commits() {
    let bounds = Bounds { writers: Writers::Numbered, claims: Claims::Apart, ticks: 2, in_flight: 1, ..Bounds::plain() };
    holds("late commits", bounds);
}

#[test]
fn unnumbered() {
    let bounds = Bounds { writers: Writers::Unnumbered, claims: Claims::Apart, ticks: 2, in_flight: 1, ..Bounds::plain() };
    holds("ids before numbers", bounds);
}

#[test]
fn one_member() {
    let bounds = Bounds::plain().with(&[(Fault::Crash, 1), (Fault::LostReply, 1)], 2);
    holds("one member", bounds);
}

#[test]
fn two_members() {
    let bounds = Bounds { members: 2, ..Bounds::plain() }.with(&[(Fault::Crash, 1)], 1);
    holds("two members", bounds);
}
