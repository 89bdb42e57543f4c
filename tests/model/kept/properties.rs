//! What must hold in every state.

use outflow::relay::kept::pieces::Pieces;
use stateright::Property;

use super::bounds::{Bounds, KEYS};
use super::postgres::STREAMS;
use super::state::{Journal, Postgres, Row, Rows, State, Status};

pub(crate) const NO_LOSS: &str =
    "a committed row that the journal has passed is in its stream, unless on_loss left it out";
pub(crate) const NO_DOUBLE: &str =
    "no row is in its stream twice, but what a Postgres that went back had not copied";
pub(crate) const NO_PHANTOM: &str =
    "only committed rows are in a stream, but those that a Postgres that went back has lost";
pub(crate) const ORDER: &str = "a key's rows are in its stream in order, without a gap";
pub(crate) const COVERED: &str = "the pieces of all members cover each slot once";
pub(crate) const JOURNAL: &str = "the journal holds what its members need, and no more";
pub(crate) const NO_FALSE_ALARM: &str = "no server is said to have gone back that did not";
pub(crate) const DELIVERED: &str = "everything is delivered";

pub(crate) fn all() -> Vec<Property<Bounds>> {
    vec![
        Property::always(NO_LOSS, |bounds: &Bounds, state: &State| {
            let Some(journal) = state.healthy_journal() else { return true };
            state.missing(bounds).all(|row| !Postgres::have_passed(journal.pieces(), *row, bounds))
        }),
        Property::always(NO_DOUBLE, |_, state: &State| {
            state.redis.streams.iter().all(|stream| is_without_doubles(state, stream))
        }),
        Property::always(NO_PHANTOM, |_, state: &State| {
            let is_committed = |number: &u8| state.row(*number).is_some();
            state.past.postgres_back || state.redis.streams.iter().flatten().all(is_committed)
        }),
        Property::always(ORDER, |bounds: &Bounds, state: &State| {
            let mut streams = (0..).zip(&state.redis.streams);
            streams.all(|(at, stream)| is_in_order(state, bounds, at, stream))
        }),
        Property::always(COVERED, |_, state: &State| {
            let open = state.redis.journal.as_ref().filter(|journal| journal.open);
            open.is_none_or(|journal| Pieces::cover_once(journal.pieces()))
        }),
        Property::always(JOURNAL, |bounds: &Bounds, state: &State| {
            state.redis.journal.as_ref().is_none_or(|journal| is_bounded(bounds, journal))
        }),
        Property::always(NO_FALSE_ALARM, |_, state: &State| !state.past.false_alarm),
        Property::sometimes(DELIVERED, |bounds: &Bounds, state: &State| {
            state.left == [0; KEYS] && is_delivered(state, bounds)
        }),
    ]
}

pub(crate) fn hold(bounds: &Bounds, state: &State) -> bool {
    let fails = |property: &Property<Bounds>| {
        property.expectation.discovery_is_failure() && !(property.condition)(bounds, state)
    };
    !all().iter().any(fails)
}

/// No transaction is open, and no row is missing.
pub(crate) fn is_delivered(state: &State, bounds: &Bounds) -> bool {
    state.postgres.rows.iter().all(|row| row.status != Status::Open)
        && state.missing(bounds).next().is_none()
}

impl State {
    /// A committed row.
    fn row(&self, number: u8) -> Option<&Row> {
        self.postgres.committed().find(|row| row.number == number)
    }

    /// Committed rows that are not in their streams, and were not when Redis was emptied.
    fn missing<'a>(&'a self, bounds: &'a Bounds) -> impl Iterator<Item = &'a Row> {
        self.postgres.committed().filter(|row| {
            let stream = &self.redis.streams[usize::from(bounds.stream(row.key))];
            !stream.contains(&row.number) && self.past.forgotten >> row.number & 1 == 0
        })
    }

    /// The journal, if members go on from it: not one of before Postgres came back.
    fn healthy_journal(&self) -> Option<&Journal> {
        let journal = self.redis.journal.as_ref()?;
        let is_healed = |unhealed: u8| journal.open && journal.generation > unhealed;
        self.past.unhealed.is_none_or(is_healed).then_some(journal)
    }
}

fn is_without_doubles(state: &State, stream: &[u8]) -> bool {
    let may_be_twice = |number: u8| state.past.again >> number & 1 == 1;
    (1..stream.len()).all(|at| may_be_twice(stream[at]) || !stream[..at].contains(&stream[at]))
}

/// Whoever comes has its key's earlier rows before it, as far as they exist. Later appearances are
/// another property's business.
fn is_in_order(state: &State, bounds: &Bounds, at: u8, stream: &[u8]) -> bool {
    let mut before: Rows = state.past.forgotten;
    stream.iter().all(|number| {
        before |= 1 << number;
        let Some(row) = state.row(*number) else { return true };
        let is_earlier = |other: &&Row| other.key == row.key && other.number < row.number;
        bounds.stream(row.key) == at
            && state.postgres.committed().filter(is_earlier).all(|it| before >> it.number & 1 == 1)
    })
}

/// Of each member of the generation in force one position for each stream and each half of its
/// slots at most, one last batch and one confirmed copy.
fn is_bounded(bounds: &Bounds, journal: &Journal) -> bool {
    let pieces_max = KEYS * (1 + STREAMS.len());
    let numbers: Vec<u8> = journal.kept.iter().map(|kept| kept.member).collect();
    let is_member = |member: &u8| numbers.contains(member);
    journal.kept.len() <= bounds.members.max(1)
        && journal.pieces().all(|pieces| pieces.all().len() <= pieces_max)
        && journal.last.len() <= numbers.len()
        && journal.last.iter().all(|(member, _)| is_member(member))
        && journal.copied.len() <= numbers.len()
        && (!journal.open || journal.copied.iter().all(|at| is_member(&at.member)))
}
