//! No row is in two pieces, and none in no piece, whatever happens to them.

use proptest::prelude::*;

use super::*;
use crate::relay::kept::position::Target;

fn at(xmax: u64) -> Position {
    Position::behind(Snapshot::parse(&format!("{xmax}:{xmax}:")).expect("a snapshot"), 0)
}

fn target(xmax: u64) -> Target {
    Target { snapshot: at(xmax).seen, mark: 0 }
}

fn piece_of(slots: i64, stream: Option<&str>, xmax: u64) -> Piece {
    Piece { slots, stream: stream.map(str::to_owned), position: at(xmax) }
}

/// How many transactions the one piece has read that a row of this slot and stream is in, as
/// the reads have it: those of its own stream, or those of slots that do not leave it out.
fn read_of(pieces: &Pieces, slot: u32, stream: &str) -> Vec<u64> {
    let turns = (0..pieces.all().len()).map(|index| pieces.next(index));
    turns
        .filter_map(|Next { index, except, .. }| {
            let Piece { slots, stream: only, position } = &pieces.all()[index];
            let is_of = only
                .as_ref()
                .map_or(!except.iter().any(|left_out| left_out == stream), |only| only == stream);
            (slots >> slot & 1 == 1 && is_of).then(|| position.seen.xmax())
        })
        .collect()
}

#[derive(Debug, Clone)]
enum Step {
    Part(u8),
    Move(usize, u64),
    Share(Vec<i32>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        prop_oneof![
            (0..3_u8).prop_map(Step::Part),
            (0..8_usize, 1..4_u64).prop_map(|(index, by)| Step::Move(index, by)),
            prop::collection::vec(1..4_i32, SLOTS).prop_map(Step::Share),
        ],
        1..25,
    )
}

proptest! {
    #[test]
    fn each_row_is_in_one_piece_which_never_goes_back(steps in steps()) {
        let mut members = BTreeMap::from([(1, Pieces::whole(at(3)))]);
        let streams = ["a", "b", "c"];
        let read = |members: &BTreeMap<i32, Pieces>| -> Vec<Vec<u64>> {
            let rows = (0..64).flat_map(|slot| streams.map(|stream| (slot, stream)));
            rows.map(|(slot, stream)| {
                members.values().flat_map(|pieces| read_of(pieces, slot, stream)).collect()
            }).collect()
        };
        let mut before = read(&members);
        for step in steps {
            let is_move = matches!(step, Step::Move(..));
            match step {
                Step::Part(stream) => for pieces in members.values_mut() {
                    pieces.part(streams[usize::from(stream)]);
                },
                Step::Move(index, by) => for pieces in members.values_mut() {
                    let index = index % pieces.all().len();
                    // As a read does it: to where the others are, or on.
                    let to = pieces.next(index).target.map_or_else(
                        || pieces.all()[index].position.seen.xmax() + by,
                        |target| target.xmax());
                    pieces.move_to(index, at(to));
                    pieces.tidy();
                },
                Step::Share(shares) => {
                    let all: Vec<Pieces> = members.values().cloned().collect();
                    members = Pieces::share_out(&all, &shares, &Position::beginning());
                }
            }
            prop_assert!(Pieces::cover_once(members.values()));
            let after = read(&members);
            for (row, (before, after)) in before.iter().zip(&after).enumerate() {
                prop_assert_eq!(after.len(), 1, "row {} is in {:?}", row, members);
                prop_assert!(after[0] >= before[0]);
                prop_assert!(is_move || after == before, "row {} moved by itself", row);
            }
            for pieces in members.values() {
                let read = Pieces::parse(&pieces.to_string()).expect("pieces");
                prop_assert_eq!(read, Pieces::new(pieces.all().to_vec()));
            }
            before = after;
        }
    }
}

#[test]
fn a_stream_that_was_left_behind_comes_as_far_as_the_others_and_is_merged() {
    let mut pieces = Pieces::whole(at(5));
    pieces.part("a\nb");
    pieces.move_to(0, at(9));
    let left_out = ["a\nb".to_owned()];
    assert_eq!(pieces.turns(&left_out).len(), 1);
    assert_eq!(pieces.turns(&left_out)[0].except, left_out);
    let turns = pieces.turns(&[]);
    assert_eq!((turns.len(), turns[0].index), (2, 1), "what is behind comes first");
    assert_eq!(turns[0].target.as_ref().map(Snapshot::xmax), Some(9), "up to the others");
    assert_eq!(Pieces::parse(&pieces.to_string()), Ok(pieces.clone()));
    pieces.move_to(1, at(9));
    pieces.tidy();
    assert_eq!(pieces, Pieces::whole(at(9)));
}

/// It is read as far as there is anything.
#[test]
fn a_stream_that_is_parted_where_the_others_are_has_no_target() {
    let mut pieces = Pieces::whole(at(5));
    pieces.part("a");
    let turns = pieces.turns_of("a");
    assert_eq!((turns.len(), turns[0].target.as_ref()), (1, None));
    // Then it is the others that come as far.
    pieces.move_to(1, at(9));
    assert_eq!(pieces.turns_of("a")[0].target, None);
    pieces.move_to(0, at(12));
    assert_eq!(pieces.turns_of("a")[0].target.as_ref().map(Snapshot::xmax), Some(12));
}

/// Else a stream that always has rows would leave no turn to the others.
#[test]
fn a_stream_goes_where_the_others_are_going_and_no_farther() {
    let mid = |goal| Position { target: Some(target(goal)), ..at(5) };
    let mut pieces = Pieces::whole(at(5));
    pieces.part("a");
    pieces.move_to(0, mid(9));
    let of = |pieces: &Pieces| -> Vec<(usize, Option<u64>)> {
        let turn = |next: Next| (next.index, next.target.as_ref().map(Snapshot::xmax));
        pieces.turns(&[]).into_iter().map(turn).collect()
    };
    assert_eq!(of(&pieces), [(1, Some(9)), (0, None)]);
    pieces.move_to(1, at(9));
    pieces.tidy();
    assert_eq!(of(&pieces), [(0, None)], "it waits for the others");
    pieces.move_to(1, at(12));
    assert_eq!(of(&pieces), [(0, None), (1, None)], "the others come first");
    pieces.move_to(0, at(9));
    assert_eq!(of(&pieces), [(0, None), (1, None)]);
    pieces.move_to(0, mid(15));
    assert_eq!(of(&pieces), [(1, Some(15)), (0, None)]);
}

#[test]
fn a_look_reads_each_piece_up_to_now_and_once() {
    let mut pieces = Pieces::whole(Position { target: Some(target(9)), ..at(5) });
    pieces.part("a");
    pieces.move_to(1, at(5));
    let (mut read, mut now, mut turns) = (UpToNow::default(), 20, Vec::new());
    while let Some(next) = read.next(&pieces, pieces.turns(&[])) {
        let goal = pieces.all()[next.index].position.target.as_ref().map(|own| &own.snapshot);
        let to = goal.or(next.target.as_ref()).map_or(now, Snapshot::xmax);
        turns.push((pieces.all()[next.index].stream.clone(), to));
        pieces.move_to(next.index, at(to));
        pieces.tidy();
        now += 1;
    }
    let stream = Some("a".to_owned());
    assert_eq!(turns, [(stream, 9), (None, 9), (None, 22)]);
    assert_eq!(pieces, Pieces::whole(at(22)));
}

/// Merged in the look that leaves it out, it would be read with the others.
#[test]
fn a_look_does_not_come_to_a_stream_that_it_leaves_out() {
    let left_out = ["a".to_owned()];
    let mut pieces = Pieces::whole(at(5));
    pieces.part("a");
    let (mut read, mut turns) = (UpToNow::default(), Vec::new());
    while let Some(next) = read.next(&pieces, pieces.turns(&left_out)) {
        // No transaction since.
        pieces.move_to(next.index, at(5));
        pieces.tidy();
        assert_eq!(pieces, Pieces::whole(at(5)));
        pieces.part("a");
        turns.push(next);
    }
    assert_eq!(turns, [Next { index: 0, target: None, except: left_out.to_vec() }]);
}

/// Rows that are inserted meanwhile move the hint, so that two reads seldom have the same one.
#[test]
fn pieces_that_have_come_equally_far_are_merged_whatever_their_hints() {
    let hinted = |position: Position, hint| Position { hint, ..position };
    let mut pieces = Pieces::whole(at(5));
    pieces.part("a");
    pieces.move_to(0, hinted(at(9), 70));
    pieces.move_to(1, hinted(at(9), 80));
    pieces.tidy();
    assert_eq!(pieces, Pieces::whole(hinted(at(9), 70)));
    let (one, other) = (piece_of(0xff, None, 9), piece_of(!0xff, None, 9));
    let other = Piece { position: hinted(other.position, 80), ..other };
    assert_eq!(Pieces::new(vec![one, other]).all().len(), 1);
}

#[test]
fn slots_that_nobody_has_read_of_begin_where_they_are_told_to() {
    let half = Pieces::new(vec![piece_of(0xffff_ffff, None, 7), piece_of(0xff, Some("a"), 6)]);
    let shares = [vec![1; 16], vec![2; 48]].concat();
    let members = Pieces::share_out(&[half], &shares, &at(3));
    assert!(Pieces::cover_once(members.values()));
    let seen = |slot, stream| {
        let member = &members[&if slot < 16 { 1 } else { 2 }];
        (3..8).filter(|xid| member.have_passed(slot, stream, *xid, 0)).count()
    };
    assert_eq!((seen(0, Some("a")), seen(0, Some("b")), seen(0, None)), (3, 4, 4));
    assert_eq!((seen(20, Some("a")), seen(40, Some("b"))), (4, 0));
}
