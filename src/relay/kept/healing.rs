//! From where to go on when a server went back in time. Pure.
//!
//! The streams and the position are written by one script, so that they agree in whatever state
//! Redis comes back. The copy in Postgres is for the day on which there is no journal, and it shows
//! whether Postgres itself has lost something that it had confirmed.

use super::history::{Before, History};
use super::pieces::Pieces;
use super::position::Position;
use super::snapshot::Snapshot;
use crate::relay::event::Acknowledged;
use crate::relay::options::OnLoss;

/// Which Postgres it is, as the journal has it.
pub fn server(system: &str, timeline: &str) -> String {
    format!("system {system}, timeline {timeline}")
}

/// A member's position as Postgres has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Which batch it is the position of.
    pub at: Acknowledged,
    /// The position.
    pub pieces: Pieces,
}

/// What both servers say.
#[derive(Debug, Clone)]
pub struct Found<'a> {
    /// Pieces of all members in the journal; none before the outbox was kept.
    pub journal: &'a [Pieces],
    /// The copies in Postgres.
    pub copies: &'a [Copied],
    /// Copies that the journal knows as confirmed.
    pub confirmed: &'a [Acknowledged],
    /// Where the copies were written; `None`: it is not known.
    pub history: Option<&'a History>,
    /// Which Postgres the journal is of; `None`: it does not say.
    pub server: Option<&'a str>,
    /// Which Postgres this is.
    pub here: &'a str,
    /// What is visible there now.
    pub now: &'a Snapshot,
}

/// From where to go on, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Pieces of all members.
    pub pieces: Vec<Pieces>,
    /// Where slots begin that no piece has.
    pub otherwise: Position,
    /// Where the next copies are written.
    pub history: History,
    /// What has happened, for the log.
    pub happened: Happened,
}

/// What has happened to the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// Nothing, as far as is known.
    Nothing,
    /// The journal is older than the copy: Redis was restored, or failed over with loss. The
    /// events between the two are sent again.
    RedisWentBack,
    /// There is no journal, and there was one.
    JournalIsGone,
    /// Postgres was restored or failed over; why that is believed.
    PostgresWentBack(String),
}

/// What is to be decided by a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal in Redis is gone, and on_loss is \"stop\"")]
pub struct Undecided;

/// From where to go on.
///
/// # Errors
/// [`Undecided`].
pub fn start(found: &Found<'_>, on_loss: OnLoss) -> Result<Start, Undecided> {
    let copies: Vec<Pieces> = found.copies.iter().map(|copy| copy.pieces.clone()).collect();
    // What Postgres has not reached cannot have been read there.
    let is_possible = |all: &[Pieces]| {
        all.iter().flat_map(Pieces::all).all(|piece| is_of(&piece.position, found.now))
    };
    let copies = if is_possible(&copies) { copies } else { Vec::new() };
    let history = history(found, &copies);
    if found.journal.is_empty() {
        let was_kept = !found.copies.is_empty();
        let happened = if was_kept { Happened::JournalIsGone } else { Happened::Nothing };
        let pieces = match on_loss {
            OnLoss::Stop if was_kept => return Err(Undecided),
            OnLoss::Resend => Vec::new(),
            OnLoss::Resume | OnLoss::Stop => copies,
        };
        return Ok(Start { pieces, otherwise: Position::beginning(), history, happened });
    }
    let journal = found.journal.to_vec();
    let why = went_back(found, is_possible(&journal));
    let (pieces, happened) = match why {
        Some(why) => (older(found, &journal, &copies), Happened::PostgresWentBack(why)),
        None if is_behind(&journal, &copies) => (journal, Happened::RedisWentBack),
        None => (journal, Happened::Nothing),
    };
    Ok(Start { pieces, otherwise: Position::beginning(), history, happened })
}

/// What both have passed, when Postgres went back.
fn older(found: &Found<'_>, journal: &[Pieces], copies: &[Pieces]) -> Vec<Pieces> {
    let written = found.history.filter(|history| Some(history.server.as_str()) != found.server);
    let older = match written {
        // The journal is of the Postgres that the copies are of.
        None => Pieces::common(journal, copies),
        // Redis came back with a journal of the Postgres before. Numbers beyond what the two share
        // are other transactions now.
        Some(History { server, before: Some(Before { server: before, shared }) })
            if Some(before.as_str()) == found.server =>
        {
            let shared = [Pieces::whole(Position::behind(shared.clone(), i64::MAX))];
            let journal = Pieces::common(journal, &shared);
            // Whether it has gone back since.
            if server == found.here { journal } else { Pieces::common(&[journal], copies) }
        }
        // Or of one before that.
        Some(_) => return Vec::new(),
    };
    Some(older).filter(|older| older.slots() != 0).into_iter().collect()
}

/// Where the copies are written from here on, and what this Postgres has in common with the one
/// that they were written in: every snapshot that it has of it is one of both.
fn history(found: &Found<'_>, copies: &[Pieces]) -> History {
    let written = found.history.map(|history| history.server.as_str()).or(found.server);
    match (found.history, written.filter(|server| *server != found.here)) {
        (Some(history), None) => history.clone(),
        (None, None) => History { server: found.here.to_owned(), before: None },
        (_, Some(before)) => {
            let positions = copies.iter().flat_map(Pieces::all).map(|piece| &piece.position);
            let known = positions.flat_map(|position| {
                let target = position.target.iter().map(|target| &target.snapshot);
                target.chain([&position.seen])
            });
            let shared = known.max_by_key(|snapshot| snapshot.xmax()).cloned();
            let shared = shared.unwrap_or_else(Snapshot::nothing);
            let before = Before { server: before.to_owned(), shared };
            History { server: found.here.to_owned(), before: Some(before) }
        }
    }
}

/// Why Postgres must have gone back, if it has.
fn went_back(found: &Found<'_>, journal_is_possible: bool) -> Option<String> {
    if let Some(server) = found.server.filter(|server| *server != found.here) {
        return Some(format!("it is {}, and was {server}", found.here));
    }
    if !journal_is_possible {
        return Some("the journal knows transactions that it has not reached".to_owned());
    }
    // The copies of a generation are deleted when the next one begins: a journal that was restored
    // may be of a generation that is over.
    let newest = found.copies.iter().map(|copy| copy.at.generation).max();
    let is_missing = |confirmed: &&Acknowledged| {
        if newest.is_some_and(|newest| newest > confirmed.generation) {
            return false;
        }
        let copy = found.copies.iter().find(|copy| {
            (copy.at.generation, copy.at.member) == (confirmed.generation, confirmed.member)
        });
        copy.is_none_or(|copy| copy.at.batch < confirmed.batch)
    };
    let Acknowledged { generation, member, batch } = found.confirmed.iter().find(is_missing)?;
    Some(format!(
        "the copy of the position at batch {batch} of member {member} in generation {generation}, \
            which it had confirmed, is unknown to it"
    ))
}

/// Whether a position knows no transaction that a later snapshot does not know.
fn is_of(position: &Position, now: &Snapshot) -> bool {
    let target = position.target.iter().map(|target| target.snapshot.xmax());
    target.chain([position.seen.xmax()]).all(|xmax| xmax <= now.xmax())
}

/// Whether some of these have not come as far as the copies of the same slots.
fn is_behind(journal: &[Pieces], copies: &[Pieces]) -> bool {
    let of_slots = |all: &[Pieces]| -> Vec<(i64, Position)> {
        let pieces = all.iter().flat_map(Pieces::all);
        pieces
            .filter(|piece| piece.stream.is_none())
            .map(|piece| (piece.slots, piece.position.clone()))
            .collect()
    };
    let (journal, copies) = (of_slots(journal), of_slots(copies));
    journal.iter().any(|(slots, position)| {
        copies.iter().any(|(copied, copy)| {
            slots & copied != 0 && copy.includes(position) && !position.includes(copy)
        })
    })
}

#[cfg(test)]
mod tests;
