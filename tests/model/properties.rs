//! What must hold in every state: the invariants of `docs/protocol.md`.

use stateright::Property;

use crate::bounds::Bounds;
use crate::state::{Record, Reply, Stage, State, Status};

pub(crate) const NO_LOSS: &str = "a committed event is in the table or in its stream";
pub(crate) const NO_DOUBLE: &str = "no event is in its stream twice";
pub(crate) const NO_PHANTOM: &str = "only committed events are in a stream";
pub(crate) const ORDER: &str = "a key's events are in its stream in order, without a gap";
pub(crate) const JOURNAL: &str =
    "the journal holds no more than what is in flight and what recoveries still need";
pub(crate) const NO_FALSE_ALARM: &str = "a loss of Redis is not told when there was none";
pub(crate) const NOTICED: &str =
    "what a fail-over loses is told when all members have met the new master";
pub(crate) const DELIVERED: &str = "everything is delivered";

pub(crate) fn all() -> Vec<Property<Bounds>> {
    vec![
        Property::always(NO_LOSS, |bounds: &Bounds, state: &State| {
            state.may_have_lost(bounds) || !is_lost(state)
        }),
        Property::always(NOTICED, |_, state: &State| !(state.is_unaware() && is_lost(state))),
        Property::always(NO_DOUBLE, |_, state: &State| {
            state.redis.streams.iter().all(|stream| is_without_doubles(stream))
        }),
        Property::always(NO_PHANTOM, |_, state: &State| {
            let committed = |id: &u8| {
                matches!(state.postgres.row(*id).status, Status::Committed | Status::Deleted)
            };
            state.redis.streams.iter().flatten().all(committed)
        }),
        Property::always(ORDER, |bounds: &Bounds, state: &State| {
            state.may_have_lost(bounds)
                || state.redis.streams.iter().all(|stream| is_in_order(state, stream))
        }),
        Property::always(JOURNAL, is_journal_bounded),
        Property::always(NO_FALSE_ALARM, |bounds: &Bounds, state: &State| {
            let told = |stage| matches!(stage, Stage::Answered { reply: Reply::RolledBack, .. });
            state.may_have_lost(bounds)
                || !state
                    .members
                    .iter()
                    .flat_map(|member| &member.batches)
                    .any(|batch| told(batch.stage))
        }),
        Property::sometimes(DELIVERED, |bounds, state: &State| state.is_delivered(bounds)),
    ]
}

pub(crate) fn hold(bounds: &Bounds, state: &State) -> bool {
    let fails = |property: &Property<Bounds>| {
        property.expectation.discovery_is_failure() && !(property.condition)(bounds, state)
    };
    !all().iter().any(fails)
}

fn is_lost(state: &State) -> bool {
    (1..).zip(&state.postgres.table).any(|(id, row)| {
        row.status == Status::Deleted && !state.redis.streams[usize::from(row.key)].contains(&id)
    })
}

fn is_without_doubles(stream: &[u8]) -> bool {
    (1..stream.len()).all(|at| !stream[..at].contains(&stream[at]))
}

/// First appearances only: a double is another property's business.
fn is_in_order(state: &State, stream: &[u8]) -> bool {
    let mut next = 1;
    stream.iter().all(|id| {
        let event = state.postgres.row(*id).event;
        next += u8::from(event == next);
        event < next
    })
}

/// Of each member and generation what is in flight, of how many generations: the one in force, and
/// those that were raised while no recovery has come to drop the older ones yet.
fn is_journal_bounded(bounds: &Bounds, state: &State) -> bool {
    if state.fail_over.happened {
        return true;
    }
    let records = &state.redis.records;
    let mut generations: Vec<u8> = records.iter().map(|record| record.generation).collect();
    generations.dedup();
    generations.len() <= usize::from(state.redis.raised_since_forgotten) + 1
        && records.iter().all(|record| {
            let like = |other: &&_| of(*record) == of(**other);
            records.iter().filter(like).count() <= bounds.in_flight
        })
}

fn of(record: Record) -> (u8, u8) {
    (record.generation, record.number)
}
