//! The cursor's rules one by one.

use super::*;

fn snapshot(text: &str) -> Snapshot {
    Snapshot::parse(text).expect("a snapshot")
}

fn proof(token: &str, drawn: i64) -> Proof {
    Proof { token: token.to_owned(), drawn }
}

/// Without a proof.
fn look(shown: &str, own: u64, last: i64, full: bool) -> Look {
    Look { snapshot: snapshot(shown), proof: None, own: Some(own), last: Some(last), full }
}

fn proven(shown: &str, own: u64, last: i64, drawn: i64) -> Look {
    Look { proof: Some(proof("t", drawn)), ..look(shown, own, last, false) }
}

fn watched(cursor: &Cursor) -> Vec<(u64, i64)> {
    cursor.watched().collect()
}

#[test]
fn snapshots_parse() {
    assert_eq!(snapshot("10:20:10,14"), Snapshot { xmax: 20, open: vec![10, 14] });
    assert_eq!(snapshot("10:10:"), Snapshot { xmax: 10, open: vec![] });
    for text in ["", "1", "1:2", "1:x:", "1:2:y"] {
        assert_eq!(Snapshot::parse(text), None, "{text}");
    }
}

#[test]
fn a_full_claim_moves_to_its_last_row_and_a_short_one_to_the_highest() {
    let mut cursor = Cursor::default();
    cursor.looked(&look("1:5:", 5, 100, true));
    assert_eq!(cursor.position(), 99, "another row may have the same order value");
    cursor.rewind_below(51);
    assert_eq!(cursor.position(), 50);
    cursor.looked(&look("1:6:", 6, 70, true));
    assert_eq!(cursor.position(), 69);
    cursor.looked(&look("1:7:", 7, 71, false));
    assert_eq!(cursor.position(), 100);
}

/// The overtaking case: K's id 1 is open while 2 and 3 are taken; it commits, and K's next event is
/// 4.
#[test]
fn a_late_commit_lowers_the_next_claim_and_leaves_the_list() {
    let mut cursor = Cursor::default();
    cursor.looked(&look("7:9:7", 9, 3, false));
    assert_eq!(watched(&cursor), [(7, BEGINNING)], "7 is open, and was when nothing was taken");
    assert_eq!(cursor.position(), 3);
    // It has ended: this claim was lowered in its own snapshot, took 1 and 4, and the list is
    // clean.
    cursor.looked(&look("10:10:", 10, 4, false));
    assert_eq!(cursor.watched_len(), 0);
    assert_eq!(cursor.position(), 4);
}

#[test]
fn transactions_above_the_snapshot_are_listed_up_to_the_claims_own() {
    let mut cursor = Cursor::default();
    cursor.looked(&look("20:20:", 23, 5, false));
    assert_eq!(watched(&cursor).iter().map(|(xid, _)| *xid).collect::<Vec<_>>(), [20, 21, 22]);
}

#[test]
fn own_open_claims_are_left_out() {
    let mut cursor = Cursor::default();
    cursor.looked(&look("20:20:", 20, 5, true));
    cursor.looked(&look("20:20:", 21, 9, true));
    cursor.looked(&look("20:22:20", 22, 12, true));
    assert_eq!(cursor.watched_len(), 0, "20 and 21 are claims of ours");
    cursor.looked(&look("22:23:22", 24, 15, true));
    assert_eq!(watched(&cursor), [(23, BEGINNING)], "22 is ours, 23 is not");
}

/// Of a table without a proof nothing is known, however long ago the transaction was first seen.
#[test]
fn without_a_proof_every_floor_is_the_beginning() {
    let mut cursor = Cursor::default();
    cursor.looked(&look("1:5:", 5, 10, false));
    assert_eq!(cursor.unseen(), Some((6, BEGINNING)));
    cursor.looked(&look("8:10:8", 10, 40, false));
    assert_eq!(watched(&cursor), [(8, BEGINNING), (9, BEGINNING)][..1]);
    assert_eq!((cursor.position(), cursor.proof()), (40, None));
}

/// The floor is what the sequence had handed out before the *last* claim had its number.
#[test]
fn with_a_proof_a_floor_is_what_was_drawn_before_the_last_claim() {
    let mut cursor = Cursor::default();
    cursor.looked(&proven("1:5:", 5, 10, 12));
    assert_eq!(cursor.unseen(), Some((6, 12)));
    // First seen now: it had no number when 5 had one.
    cursor.looked(&proven("8:10:8", 10, 40, 41));
    assert_eq!(watched(&cursor), [(8, 12)]);
    cursor.looked(&proven("8:12:8,11", 13, 41, 45));
    assert_eq!(watched(&cursor), [(8, 12), (11, 41), (12, 41)]);
    assert_eq!(cursor.position(), 41);
}

/// An id of 1,000 among those of 20: later ones are above 21, and the sequence will pass 1,000.
#[test]
fn an_id_far_ahead_does_not_pull_the_position_up() {
    let mut cursor = Cursor::default();
    cursor.looked(&proven("1:5:", 5, 1_000, 21));
    assert_eq!(cursor.position(), 21);
    cursor.looked(&proven("6:6:", 6, 22, 22));
    assert_eq!(cursor.position(), 22);
    cursor.looked(&Look { full: true, ..proven("7:7:", 7, 2_000, 30) });
    assert_eq!(cursor.position(), 30);
}

/// Set back, or another server after a fail-over.
#[test]
fn a_sequence_that_went_back_sends_the_next_claim_to_the_beginning() {
    let mut cursor = Cursor::default();
    cursor.looked(&proven("1:5:", 5, 1_000, 1_000));
    cursor.looked(&proven("6:8:6", 8, 1_001, 1_001));
    assert_eq!(watched(&cursor), [(6, 1_000), (7, 1_000)][..1]);
    cursor.looked(&Look { own: None, last: None, ..proven("6:8:6", 0, 0, 20) });
    assert_eq!((cursor.position(), cursor.watched_len(), cursor.unseen()), (BEGINNING, 0, None));
    assert_eq!(cursor.proof(), Some(&proof("t", 20)));
    // 6 may have drawn its ids at any time.
    cursor.looked(&proven("6:9:6", 9, 21, 21));
    assert_eq!((cursor.position(), watched(&cursor)), (21, vec![(6, BEGINNING)]));
}

#[test]
fn another_token_sends_the_next_claim_to_the_beginning_whatever_this_one_took() {
    let mut cursor = Cursor::default();
    cursor.looked(&proven("1:5:", 5, 10, 10));
    assert_eq!(cursor.position(), 10);
    let other = |token: &str, own, drawn| Look {
        proof: Some(proof(token, drawn)),
        ..look("6:8:6", own, 12, false)
    };
    cursor.looked(&other("u", 8, 12));
    assert_eq!(
        (cursor.position(), watched(&cursor)),
        (BEGINNING, vec![(6, BEGINNING), (7, BEGINNING)][..1].to_vec())
    );
    cursor.looked(&other("u", 9, 12));
    assert_eq!(cursor.position(), 12);
    // It is gone: the same.
    cursor.looked(&look("6:9:6", 10, 13, false));
    assert_eq!((cursor.position(), cursor.proof()), (BEGINNING, None));
    cursor.looked(&look("6:11:6", 11, 14, false));
    assert_eq!((cursor.position(), cursor.unseen()), (14, Some((12, BEGINNING))));
}

/// A later transaction's id that was drawn before: forced ids, or a sequence that went back and
/// forth.
#[test]
fn a_later_transaction_with_an_earlier_id_contradicts_the_proof() {
    let mut cursor = Cursor::default();
    assert!(!cursor.contradicts(1, 1), "nothing is known yet");
    let epoch = 1 << 32;
    cursor.looked(&proven(&format!("1:{}:", epoch + 5), epoch + 5, 10, 10));
    assert!(cursor.contradicts(10, 6));
    assert!(!cursor.contradicts(11, 6), "it may have been drawn after");
    assert!(!cursor.contradicts(10, 5) && !cursor.contradicts(10, 4), "it was listed");
    assert!(!cursor.contradicts(10, u32::MAX), "of the epoch before");
    // Others go on claiming.
    cursor.looked(&proven(&format!("1:{}:", epoch + 20), epoch + 20, 30, 30));
    assert!(cursor.contradicts(10, 6) && !cursor.contradicts(11, 6));
}

/// What a claim would not have come to without the sweep is evidence.
#[test]
fn a_row_that_no_claim_would_come_to_convicts() {
    let mut cursor = Cursor::default();
    cursor.looked(&proven("5:5:", 5, 10, 10));
    cursor.suspect(9);
    cursor.looked(&proven("7:7:", 7, 12, 12));
    assert!(cursor.distrusts());
    assert_eq!((cursor.position(), cursor.proof(), cursor.unseen()), (BEGINNING, None, None));
    cursor.looked(&proven("8:8:", 8, 10, 10));
    assert_eq!(
        (cursor.position(), cursor.proof(), cursor.unseen()),
        (10, None, Some((9, BEGINNING)))
    );
    cursor.start_over();
    cursor.looked(&proven("9:9:", 9, 10, 10));
    assert_eq!(cursor.proof(), None, "for good");
}

/// A savepoint's number is later than its transaction's, and a sweep may be quicker than the next
/// claim.
#[test]
fn a_row_that_a_claim_comes_to_by_itself_convicts_nobody() {
    let mut cursor = Cursor::default();
    cursor.looked(&proven("4:4:", 4, 8, 8));
    // 5 is open, and has drawn 9 already; its savepoint gets the number 7.
    cursor.looked(&proven("5:6:5", 6, 10, 10));
    assert!(cursor.contradicts(9, 7));
    cursor.suspect(9);
    cursor.looked(&proven("8:8:", 8, 12, 12));
    assert!(!cursor.distrusts());
    // The sequence has gone back.
    cursor.suspect(3);
    cursor.looked(&proven("9:9:", 9, 3, 3));
    assert!(!cursor.distrusts());
    cursor.looked(&proven("9:10:", 10, 4, 4));
    assert!(cursor.proof().is_some() && !cursor.distrusts(), "it was one row");
}

#[test]
fn nothing_grows_with_time() {
    let mut cursor = Cursor::default();
    for n in 1..10_000_u32 {
        cursor.looked(&proven(&format!("{n}:{n}:"), u64::from(n), i64::from(n), i64::from(n)));
    }
    assert_eq!((cursor.watched_len(), cursor.own.len(), cursor.evidence.len()), (0, 1, 1_024));
}

#[test]
fn an_empty_claim_moves_nothing_but_cleans_the_list() {
    let mut cursor = Cursor::default();
    cursor.looked(&look("7:9:7", 9, 3, false));
    cursor.looked(&Look { own: None, last: None, ..look("9:9:", 0, 0, false) });
    assert_eq!((cursor.position(), cursor.watched_len()), (3, 0));
}
