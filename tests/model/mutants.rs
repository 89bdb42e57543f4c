//! Each part of the protocol is needed: without it, the model finds the way to a failure.

use crate::bounds::{Bounds, Claims, Fault, Mutant, Writers};
use crate::check::counterexample;
use crate::properties::{DELIVERED, JOURNAL, NO_DOUBLE, NO_FALSE_ALARM, NO_LOSS, NOTICED, ORDER};

/// What goes wrong, and in which configuration.
fn caught(mutant: Mutant) -> (Bounds, &'static str) {
    let one = Bounds { started: 1, ..Bounds::plain() };
    // The second to join gets slot 1.
    let two = Bounds { members: 2, in_flight: 1, events: [0, 2], ..one };
    let late = Bounds { writers: Writers::Numbered, claims: Claims::Apart, in_flight: 1, ..one };
    let unnumbered = Bounds { writers: Writers::Unnumbered, ..late };
    let fault = |bounds: Bounds, fault| bounds.with(&[(fault, 1)], 1);
    match mutant {
        Mutant::NoFence => (fault(one, Fault::LostReply), NO_DOUBLE),
        Mutant::NoJournal => (fault(one, Fault::LostCommit), NO_DOUBLE),
        Mutant::SharedRecovery
        | Mutant::UnfencedClaim
        | Mutant::NoGenerationCheck
        | Mutant::LateGenerationCheck => (two, ORDER),
        Mutant::NoWatchList | Mutant::NamedOnly => (late, ORDER),
        Mutant::UnseenIgnored => (unnumbered, ORDER),
        Mutant::Credulous => (Bounds { prompt: true, ..unnumbered }, ORDER),
        Mutant::Unbounded => (Bounds { ahead: true, prompt: true, events: [3, 1], ..late }, ORDER),
        Mutant::RollbackTrusted => (one.with(&[(Fault::Cut, 1), (Fault::Outage, 1)], 2), ORDER),
        Mutant::NoInFlightCheck => {
            (fault(Bounds { claims: Claims::Atomic, in_flight: 2, ..late }, Fault::Kill), NO_DOUBLE)
        }
        Mutant::ForgetEarly => {
            (one.with(&[(Fault::Crash, 2), (Fault::LostCommit, 1)], 2), NO_DOUBLE)
        }
        Mutant::NeverDrop => (one, JOURNAL),
        Mutant::RefusalIgnored => (fault(one, Fault::Refusal), NO_LOSS),
        Mutant::NumbersAgain => {
            (fault(Bounds { events: [2, 1], ..two }, Fault::Crash), NO_FALSE_ALARM)
        }
        Mutant::NoRewind => (fault(one, Fault::Outage), DELIVERED),
        Mutant::NotCompared => {
            (one.with(&[(Fault::FailOver, 1), (Fault::LostReply, 1)], 2), NOTICED)
        }
        Mutant::RaiseNotWaitedFor => {
            let waits = Bounds { waits: true, ..one };
            (waits.with(&[(Fault::FailOver, 1), (Fault::Kill, 1)], 2), NO_FALSE_ALARM)
        }
        Mutant::DoubtIgnored => (fault(one, Fault::LostReply), NO_FALSE_ALARM),
    }
}

#[test]
fn every_mutant_is_caught() {
    for mutant in Mutant::ALL {
        let (bounds, property) = caught(mutant);
        counterexample(&format!("without {mutant:?}"), bounds.without(mutant), property);
    }
}
