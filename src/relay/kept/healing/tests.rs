//! From where it goes on, whichever server went back, and how often.

use super::*;
use crate::relay::kept::pieces::Piece;
use crate::relay::kept::position::Target;

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
        ("an old Postgres without a copy", Some(20), None, Some(9), "a", 30, None, back(unknown)),
        ("both, Redis older", Some(11), Some((12, 5)), Some(9), "a", 30, Some(11), back(unknown)),
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
        let (history, now) = (None, &now);
        let found = Found { journal, copies, confirmed, history, server, here, now };
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
            history: None,
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
    let copies = [Pieces::new(vec![piece(1, None, 15)]), Pieces::new(vec![piece(!1, None, 14)])];
    let older = Pieces::common(&journal, &copies);
    let passed = |slot, stream, xid| older.have_passed(slot, Some(stream), xid, 0);
    assert!(passed(0, "a", 14) && !passed(0, "a", 15), "the copy's");
    assert!(passed(0, "parked", 10) && !passed(0, "parked", 11), "the journal's");
    assert!(passed(9, "a", 11) && !passed(9, "a", 12), "the journal's");
    let none = Pieces::common(&journal, &copies[..1]);
    assert_eq!(none.slots(), 1, "what one of them does not have is read from the beginning");
}

/// The copy had come to 15. The journal had been put back to 5 and has read on from there, in a
/// Postgres that is gone by now: up to what is 30 here.
#[test]
fn what_redis_had_lost_before_postgres_went_back_is_sent_all_the_same() {
    let seen = |xmax: u64| Snapshot::parse(&format!("{xmax}:{xmax}:")).expect("a snapshot");
    let target = Some(Target { snapshot: seen(30), mark: 7 });
    let healing = Pieces::whole(Position { target, ..Position::behind(seen(5), 0) });
    let common = Pieces::common(&[healing], &[whole(15)]);
    for (xid, id, is_passed) in [(4, 9, true), (6, 7, true), (6, 8, false), (16, 1, false)] {
        assert_eq!(common.have_passed(0, None, xid, id), is_passed, "{xid} {id}");
    }
}

/// The numbers from 10 on are those of other transactions since Postgres, which was a, is b.
#[test]
fn a_journal_of_the_postgres_before_counts_as_far_as_the_two_share() {
    let now = Snapshot::parse("30:30:").expect("a snapshot");
    let journal = [whole(20)];
    let copies = [Copied { at: at(7, 3), pieces: whole(25) }];
    let start = |history: Option<&str>, here: &str| {
        let history = history.map(|text| History::parse(text).expect("a history"));
        let found = Found {
            journal: &journal,
            copies: &copies,
            confirmed: &[],
            history: history.as_ref(),
            server: Some("a"),
            here,
            now: &now,
        };
        let Start { pieces, history, .. } = start(&found, OnLoss::Resume).expect("a start");
        (pieces, history.to_string())
    };
    let to = |xmax| vec![whole(xmax)];
    let table = [
        ("it has just gone back", Some("a"), "b", to(20), "b|a|25:25:"),
        ("or so it seems", None, "b", to(20), "b|a|25:25:"),
        ("Redis went back to before", Some("b|a|10:10:"), "b", to(10), "b|a|10:10:"),
        ("both went back again", Some("b|a|10:10:"), "c", to(10), "c|b|25:25:"),
        ("Redis went back further", Some("c|b|25:25:"), "c", vec![], "c|b|25:25:"),
        ("it is not known to where", Some("b"), "b", vec![], "b"),
    ];
    for (name, history, here, pieces, next) in table {
        assert_eq!(start(history, here), (pieces, next.to_owned()), "{name}");
    }
}

#[test]
fn what_becomes_of_a_lost_journal_is_as_configured() {
    let now = Snapshot::parse("30:30:").expect("a snapshot");
    let copies = [Copied { at: at(4, 9), pieces: whole(19) }];
    let found = Found {
        journal: &[],
        copies: &copies,
        confirmed: &[],
        history: None,
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
