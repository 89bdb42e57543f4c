//! From where to go on when a server went back in time. Pure.
//!
//! The streams and the position are written by one script, so that they agree in whatever state
//! Redis comes back. The copy in Postgres is for the day on which there is no journal, and it shows
//! whether Postgres itself has lost something that it had confirmed.

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
    if found.journal.is_empty() {
        let was_kept = !found.copies.is_empty();
        let happened = if was_kept { Happened::JournalIsGone } else { Happened::Nothing };
        let pieces = match on_loss {
            OnLoss::Stop if was_kept => return Err(Undecided),
            OnLoss::Resend => Vec::new(),
            OnLoss::Resume | OnLoss::Stop => copies,
        };
        return Ok(Start { pieces, otherwise: Position::beginning(), happened });
    }
    let journal = found.journal.to_vec();
    let why = went_back(found, is_possible(&journal));
    let (pieces, happened) = match why {
        Some(why) => {
            // What the journal says of transactions that are gone is no position any more.
            let pieces = if is_possible(&journal) {
                let older = Pieces::older(&journal, &copies);
                Some(older).filter(|older| older.slots() != 0).into_iter().collect()
            } else {
                copies
            };
            (pieces, Happened::PostgresWentBack(why))
        }
        None if is_behind(&journal, &copies) => (journal, Happened::RedisWentBack),
        None => (journal, Happened::Nothing),
    };
    Ok(Start { pieces, otherwise: Position::beginning(), happened })
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
mod tests {
    use super::*;
    use crate::relay::kept::pieces::Piece;

    fn whole(xmax: u64) -> Pieces {
        let seen = Snapshot::parse(&format!("{xmax}:{xmax}:")).expect("a snapshot");
        Pieces::whole(Position::behind(seen, 0))
    }

    fn at(generation: i64, batch: u64) -> Acknowledged {
        Acknowledged { generation, member: 1, batch }
    }

    #[test]
    fn whoever_went_back_it_goes_on_from_where_nothing_is_missed() {
        use Happened::{JournalIsGone, Nothing, PostgresWentBack, RedisWentBack};
        let back = |why: &str| PostgresWentBack(why.to_owned());
        let unknown = "the copy of the position at batch 9 of member 1 in generation 4, which it \
            had confirmed, is unknown to it";
        // journal, copy and its batch, confirmed, server, now; then where, and what has happened
        let table = [
            ("the first start", None, None, None, "a", 30, None, Nothing),
            ("as it was", Some(20), Some((19, 9)), Some(9), "a", 30, Some(20), Nothing),
            (
                "a copy that is not confirmed",
                Some(20),
                Some((20, 10)),
                Some(9),
                "a",
                30,
                Some(20),
                Nothing,
            ),
            ("an old Redis", Some(12), Some((19, 9)), Some(5), "a", 30, Some(12), RedisWentBack),
            ("an empty Redis", None, Some((19, 9)), None, "a", 30, Some(19), JournalIsGone),
            ("an old Postgres", Some(20), Some((12, 5)), Some(9), "a", 30, Some(12), back(unknown)),
            (
                "an old Postgres without a copy",
                Some(20),
                None,
                Some(9),
                "a",
                30,
                None,
                back(unknown),
            ),
            (
                "both, Redis older",
                Some(11),
                Some((12, 5)),
                Some(9),
                "a",
                30,
                Some(11),
                back(unknown),
            ),
            (
                "another Postgres",
                Some(20),
                Some((19, 9)),
                Some(9),
                "b",
                30,
                Some(19),
                back("it is b, and was a"),
            ),
            (
                "one that has not come so far",
                Some(20),
                Some((12, 9)),
                Some(9),
                "a",
                15,
                Some(12),
                back("the journal knows transactions that it has not reached"),
            ),
        ];
        for (name, journal, copy, confirmed, here, now, expected, happened) in table {
            let journal: Vec<Pieces> = journal.map(whole).into_iter().collect();
            let copies: Vec<Copied> = copy
                .map(|(xmax, batch)| Copied { at: at(4, batch), pieces: whole(xmax) })
                .into_iter()
                .collect();
            let confirmed: Vec<Acknowledged> =
                confirmed.map(|batch| at(4, batch)).into_iter().collect();
            let now = Snapshot::parse(&format!("{now}:{now}:")).expect("a snapshot");
            let server = (!journal.is_empty()).then_some("a");
            let (journal, copies, confirmed) = (&journal[..], &copies[..], &confirmed[..]);
            let found = Found { journal, copies, confirmed, server, here, now: &now };
            let start = start(&found, OnLoss::Resume).expect(name);
            let expected: Vec<Pieces> = expected.map(whole).into_iter().collect();
            assert_eq!((start.pieces, start.happened), (expected, happened), "{name}");
        }
    }

    #[test]
    fn an_old_redis_of_a_generation_that_is_over_says_nothing_of_postgres() {
        let now = Snapshot::parse("30:30:").expect("a snapshot");
        let (journal, confirmed) = ([whole(12)], [at(4, 9)]);
        let of = |generation, batch| [Copied { at: at(generation, batch), pieces: whole(19) }];
        let happened = |copies: &[Copied]| {
            let found = Found {
                journal: &journal,
                copies,
                confirmed: &confirmed,
                server: Some("a"),
                here: "a",
                now: &now,
            };
            let start = start(&found, OnLoss::Resume).expect("a start");
            assert_eq!(start.pieces, [whole(12)]);
            start.happened
        };
        assert_eq!(happened(&of(5, 0)), Happened::RedisWentBack);
        assert!(matches!(happened(&of(4, 8)), Happened::PostgresWentBack(_)));
        assert!(matches!(happened(&of(3, 12)), Happened::PostgresWentBack(_)));
    }

    #[test]
    fn of_two_servers_that_went_back_each_slot_and_stream_goes_on_from_the_older_position() {
        let piece = |slots, stream: Option<&str>, xmax| Piece {
            slots,
            stream: stream.map(str::to_owned),
            position: whole(xmax).all()[0].position.clone(),
        };
        let journal = [
            Pieces::new(vec![piece(1, None, 20), piece(1, Some("parked"), 11)]),
            Pieces::new(vec![piece(!1, None, 12)]),
        ];
        let copies =
            [Pieces::new(vec![piece(1, None, 15)]), Pieces::new(vec![piece(!1, None, 14)])];
        let older = Pieces::older(&journal, &copies);
        let passed = |slot, stream, xid| older.have_passed(slot, Some(stream), xid, 0);
        assert!(passed(0, "a", 14) && !passed(0, "a", 15), "the copy's");
        assert!(passed(0, "parked", 10) && !passed(0, "parked", 11), "the journal's");
        assert!(passed(9, "a", 11) && !passed(9, "a", 12), "the journal's");
        let none = Pieces::older(&journal, &copies[..1]);
        assert_eq!(none.slots(), 1, "what one of them does not have is read from the beginning");
    }

    #[test]
    fn what_becomes_of_a_lost_journal_is_as_configured() {
        let now = Snapshot::parse("30:30:").expect("a snapshot");
        let copies = [Copied { at: at(4, 9), pieces: whole(19) }];
        let found = Found {
            journal: &[],
            copies: &copies,
            confirmed: &[],
            server: None,
            here: "a",
            now: &now,
        };
        let pieces = |on_loss| start(&found, on_loss).map(|start| start.pieces);
        assert_eq!(pieces(OnLoss::Resume), Ok(vec![whole(19)]));
        assert_eq!(pieces(OnLoss::Resend), Ok(vec![]));
        assert_eq!(pieces(OnLoss::Stop), Err(Undecided));
        let first = Found { copies: &[], ..found.clone() };
        assert!(start(&first, OnLoss::Stop).is_ok(), "nothing is lost at the first start");
    }
}
