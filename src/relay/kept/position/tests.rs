//! A table whose rows come from transactions that commit in any order is read to its end, whatever
//! the limits: each row once, and of each key in the order in which it was written.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A transaction: when it takes its number, when it commits, and the ids of its rows.
#[derive(Debug, Clone)]
struct Written {
    begins: usize,
    lasts: usize,
    commits: bool,
    ids: Vec<i64>,
}

fn written() -> impl Strategy<Value = Vec<Written>> {
    let one = (0..20_usize, 0..20_usize, prop::bool::weighted(0.8), 1..4_usize)
        .prop_map(|(begins, lasts, commits, rows)| (begins, lasts, commits, rows));
    (prop::collection::vec(one, 1..14), any::<u64>()).prop_map(|(mut all, seed)| {
        all.sort_by_key(|(begins, ..)| *begins);
        let rows: usize = all.iter().map(|(.., rows)| rows).sum();
        // Ids in any order: taken early, cached, or given by hand.
        let mut ids: Vec<i64> = (0..i64::try_from(rows).unwrap_or(0)).collect();
        let mut state = seed | 1;
        for index in (1..ids.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ids.swap(index, usize::try_from(state >> 33).unwrap_or(0) % (index + 1));
        }
        let mut ids = ids.into_iter();
        let transaction = |(begins, lasts, commits, rows)| Written {
            begins,
            lasts,
            commits,
            ids: ids.by_ref().take(rows).collect(),
        };
        all.into_iter().map(transaction).collect()
    })
}

/// The number of the transaction at this place of the list.
fn number(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(0) + 3
}

/// Postgres's snapshot at a moment: those that have begun have numbers, those that have not ended
/// are open, and the highest that has ended is the last one below `xmax`.
fn snapshot(all: &[Written], now: usize) -> Snapshot {
    let ended = |one: &&Written| one.begins + one.lasts < now;
    let last = all.iter().rposition(|one| ended(&one)).map_or(2, number);
    let xmax = last + 1;
    let open: Vec<u64> = (0..all.len())
        .filter(|index| number(*index) < xmax && !ended(&&all[*index]))
        .map(number)
        .collect();
    let xmin = open.first().copied().unwrap_or(xmax);
    let open: Vec<String> = open.iter().map(u64::to_string).collect();
    Snapshot::parse(&format!("{xmin}:{xmax}:{}", open.join(","))).expect("a snapshot")
}

/// What the read's statement returns, as the definition has it: no index, no hint.
fn read(all: &[Written], now: usize, at: &Position, limit: usize) -> (Vec<i64>, Position) {
    let current = snapshot(all, now);
    let target = at.target.as_ref().map_or(&current, |target| &target.snapshot);
    let mut rows: Vec<i64> = Vec::new();
    for (index, one) in all.iter().enumerate() {
        let xid = number(index);
        if one.commits && target.sees(xid) && !at.seen.sees(xid) {
            rows.extend(one.ids.iter().filter(|id| **id > at.mark()));
        }
    }
    rows.sort_unstable();
    let extent = if rows.len() >= limit {
        rows.truncate(limit);
        Extent::UpTo(rows[limit - 1])
    } else {
        Extent::All(rows.last().copied().unwrap_or(BELOW_ALL))
    };
    let after = at.after(&current, extent);
    (rows, after)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn each_row_is_read_once_and_what_was_committed_before_comes_first(
        all in written(), limits in prop::collection::vec(1..6_usize, 80)
    ) {
        let mut position = Position::beginning();
        let mut when: BTreeMap<i64, usize> = BTreeMap::new();
        for (now, limit) in limits.iter().enumerate() {
            let (rows, after) = read(&all, now.min(45), &position, *limit);
            for id in rows {
                prop_assert!(when.insert(id, when.len()).is_none(), "{} was read twice", id);
            }
            prop_assert!(after.includes(&position), "{} then {}", position, after);
            prop_assert_eq!(Position::parse(&after.to_string()), Ok(after.clone()));
            position = after;
        }
        let wanted: usize = all.iter().filter(|one| one.commits).map(|one| one.ids.len()).sum();
        prop_assert_eq!(when.len(), wanted, "at {}", position);
        for (index, one) in all.iter().enumerate().filter(|(_, one)| one.commits) {
            prop_assert!(one.ids.iter().all(|id| position.has_passed(number(index), *id)));
            // Whoever began after this one had ended, with a higher id, comes later.
            for later in all.iter().filter(|later| later.commits) {
                if later.begins > one.begins + one.lasts {
                    for (id, next) in one.ids.iter().flat_map(|id| later.ids.iter().map(move |next|
                        (id, next))).filter(|(id, next)| id < next) {
                        prop_assert!(when[id] < when[next], "{} before {}", next, id);
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_none_is_refused() {
    for text in ["", "1:1:", "1:1:|||", "1:1:|2:2:||0", "1:1:||3|0", "x|||0", "1:1:|||0|"] {
        assert!(Position::parse(text).is_err(), "{text:?}");
    }
    let text = "3:9:4,6|5:12:8|-00000000000000000017|-17";
    let position = Position::parse(text).expect("a position");
    assert_eq!((position.mark(), position.has_passed(8, -20)), (-17, true), "seen has it");
    assert!(position.has_passed(10, -18) && !position.has_passed(10, -16));
}
