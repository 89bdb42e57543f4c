//! The share-out of the 64 slots among the members. Pure.
//!
//! A slot is a hash class of the ordering key; each belongs to exactly one member, so that one
//! key's events go through one member in order.

use std::collections::BTreeMap;

/// Number of slots: the bits of a mask, and more than any sensible number of members.
pub const SLOTS: usize = 64;

/// The owner (a member's number) of each slot; empty before the first share-out.
pub type ShareOut = Vec<i32>;

/// Shares the slots out among `live` members: complete, balanced to one, and with the fewest moves
/// from `previous`.
///
/// Without members there is no share-out. With more members than slots, some own none.
pub fn share_out(previous: &[i32], live: &[i32]) -> ShareOut {
    let mut members: Vec<i32> = live.to_vec();
    members.sort_unstable();
    members.dedup();
    if members.is_empty() {
        return ShareOut::new();
    }
    let (least, more) = (SLOTS / members.len(), SLOTS % members.len());
    // Who has the most keeps the most: the larger shares go to those that own more slots already.
    let count = |member: i32| previous.iter().take(SLOTS).filter(|owner| **owner == member).count();
    members.sort_by_key(|member| (std::cmp::Reverse(count(*member)), *member));
    let shares = members
        .iter()
        .enumerate()
        .map(|(rank, member)| (*member, least + usize::from(rank < more)));
    let mut room: BTreeMap<i32, usize> = shares.collect();

    let mut owners: Vec<Option<i32>> = (0..SLOTS)
        .map(|slot| {
            let owner = previous.get(slot)?;
            let room = room.get_mut(owner).filter(|room| **room > 0)?;
            *room -= 1;
            Some(*owner)
        })
        .collect();
    let mut free = room.into_iter().flat_map(|(member, room)| std::iter::repeat_n(member, room));
    for owner in owners.iter_mut().filter(|owner| owner.is_none()) {
        *owner = free.next();
    }
    owners.into_iter().flatten().collect()
}

/// The slots of a member as bits.
pub fn mask(shares: &[i32], member: i32) -> i64 {
    let owned = shares.iter().take(SLOTS).enumerate().filter(|(_, owner)| **owner == member);
    owned.fold(0, |mask, (slot, _)| mask | (1 << slot))
}

/// Every slot.
pub const ALL: i64 = -1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn count(shares: &[i32], member: i32) -> usize {
        shares.iter().filter(|owner| **owner == member).count()
    }

    /// As many moves as any balanced share-out needs: each member keeps what it has, up to the
    /// largest share it may get.
    fn moves_min(previous: &[i32], live: &[i32]) -> usize {
        let (least, more) = (SLOTS / live.len(), SLOTS % live.len());
        let mut owned: Vec<usize> = live.iter().map(|member| count(previous, *member)).collect();
        owned.sort_unstable_by(|a, b| b.cmp(a));
        let kept: usize = owned
            .iter()
            .enumerate()
            .map(|(rank, owned)| (*owned).min(least + usize::from(rank < more)))
            .sum();
        SLOTS - kept
    }

    #[test]
    fn the_first_member_gets_all_and_without_members_there_is_none() {
        assert_eq!(share_out(&[], &[7]), vec![7; SLOTS]);
        assert_eq!(mask(&share_out(&[], &[7]), 7), ALL);
        assert_eq!(share_out(&[7; SLOTS], &[]), ShareOut::new());
    }

    #[test]
    fn masks_of_two_members_are_halves() {
        let shares = share_out(&share_out(&[], &[1]), &[1, 2]);
        assert_eq!(mask(&shares, 1) & mask(&shares, 2), 0);
        assert_eq!(mask(&shares, 1) | mask(&shares, 2), ALL);
        assert_eq!((mask(&shares, 1).count_ones(), mask(&shares, 3)), (32, 0));
    }

    proptest! {
        #[test]
        fn complete_disjoint_balanced_and_with_the_fewest_moves(
            joins_and_leaves in prop::collection::vec(prop::collection::btree_set(1..90_i32,
                1..80), 1..8)
        ) {
            let mut shares = ShareOut::new();
            for live in joins_and_leaves {
                let live: Vec<i32> = live.into_iter().collect();
                let next = share_out(&shares, &live);
                prop_assert_eq!(next.len(), SLOTS);
                prop_assert!(next.iter().all(|owner| live.contains(owner)));
                let counts: Vec<usize> = live.iter().map(|member| count(&next, *member)).collect();
                let (min, max) = (counts.iter().min().copied(), counts.iter().max().copied());
                prop_assert!(max.zip(min).is_some_and(|(max, min)| max - min <= 1), "{:?}", counts);
                let moved = (0..SLOTS).filter(|slot| shares.get(*slot) != next.get(*slot)).count();
                prop_assert_eq!(moved, moves_min(&shares, &live));
                prop_assert_eq!(&share_out(&next, &live), &next, "nothing moves when nobody comes \
                    or goes");
                shares = next;
            }
        }
    }
}
