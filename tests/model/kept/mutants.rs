//! Each part is needed: without it, the model finds the way to a failure.

use super::bounds::{Bounds, Fault, Mutant, Writers};
use super::properties::{DELIVERED, NO_DOUBLE, NO_FALSE_ALARM, NO_LOSS, ORDER};
use crate::check::counterexample;

/// What goes wrong, and in which configuration.
fn caught(mutant: Mutant) -> (Bounds, &'static str) {
    let one = Bounds { copies: true, ..Bounds::plain() };
    let two = Bounds { members: 2, ..Bounds::plain() };
    let meanwhile = Bounds { writers: Writers::Atomic, events: [2, 0], ..one };
    let late = Bounds { writers: Writers::Overlapping, events: [1, 1], ..one };
    let with = |bounds: Bounds, faults: &[Fault]| {
        let each: Vec<(Fault, u8)> = faults.iter().map(|fault| (*fault, 1)).collect();
        bounds.with(&each, u8::try_from(faults.len()).expect("a few"))
    };
    let back = [Fault::RedisBack, Fault::PostgresBack];
    match mutant {
        Mutant::NoFence | Mutant::CopyOverJournal | Mutant::PositionApart => {
            (with(one, &[Fault::LostReply]), NO_DOUBLE)
        }
        Mutant::NoNonce => {
            let bounds = Bounds { started: 0, ..meanwhile };
            (with(bounds, &[back[0], back[1], Fault::LostReply]), NO_LOSS)
        }
        Mutant::AnyRaise => (with(Bounds { events: [1, 1], copies: true, ..two }, &back), NO_LOSS),
        Mutant::NoLastBatch => (with(one, &[Fault::RedisBack]), NO_LOSS),
        Mutant::NoRaise => (two, NO_DOUBLE),
        Mutant::NotFlushed => (
            with(Bounds { rollbacks: 1, steps_over: true, ..late }, &[Fault::PostgresCrash]),
            NO_LOSS,
        ),
        Mutant::FullIsAll => (one, NO_LOSS),
        Mutant::OpenIsSeen => (late, NO_LOSS),
        Mutant::EarlyCopy => (Bounds { events: [3, 0], copies: true, ..two }, NO_FALSE_ALARM),
        Mutant::NewerOfBoth => (with(one, &back), NO_LOSS),
        Mutant::OneOfBoth => (with(Bounds { events: [3, 0], ..meanwhile }, &back), NO_LOSS),
        Mutant::NoHistory => (with(meanwhile, &back), NO_LOSS),
        Mutant::NoConfirmedCopy => {
            (with(Bounds { unmarked: true, events: [3, 0], ..meanwhile }, &back[1..]), NO_LOSS)
        }
        Mutant::AnyTimeline => (with(Bounds { events: [3, 0], ..meanwhile }, &back[1..]), ORDER),
        Mutant::CopyAnywhere => (with(meanwhile, &back[1..]), NO_LOSS),
        // One stream refuses, and the other takes its part of the batch.
        Mutant::NoPiece => (with(Bounds { limit: 3, ..one }, &[Fault::Refusal]), NO_LOSS),
        Mutant::DoubtIgnored => (with(one, &[Fault::LostReply]), DELIVERED),
    }
}

#[test]
fn every_mutant_is_caught() {
    for mutant in Mutant::ALL {
        let (bounds, property) = caught(mutant);
        counterexample(&format!("kept, without {mutant:?}"), bounds.without(mutant), property);
    }
}
