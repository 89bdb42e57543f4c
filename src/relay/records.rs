//! The records of a member in the journal: which batch is in which, and which may be written over.
//! Pure.
//!
//! A record whose rows are settled is written over by a later batch, so that no append has to drop
//! anything: the journal has as many records as there were batches in flight, even if Redis permits
//! to drop none. A member at rest drops them.

use std::collections::BTreeSet;

/// The records of one generation.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Batches that were appended and are not known to be settled, and their records.
    held: Vec<(u64, u64)>,
    /// Records that may be used again.
    free: BTreeSet<u64>,
    /// Those of them that still stand in the journal.
    standing: BTreeSet<u64>,
    /// How many there are.
    used: u64,
}

impl Records {
    /// The record for the next batch that is appended.
    pub(super) fn next(&self) -> u64 {
        self.free.first().copied().unwrap_or(self.used)
    }

    /// A batch is in the record that was next when it was sent; others may have become free since.
    pub(super) fn appended(&mut self, batch: u64, record: u64) {
        self.standing.remove(&record);
        self.free.remove(&record);
        self.used = self.used.max(record + 1);
        self.held.push((batch, record));
    }

    /// A batch is settled, if it was appended at all.
    pub(super) fn settled(&mut self, batch: u64) {
        let Some(at) = self.held.iter().position(|(held, _)| *held == batch) else { return };
        let (_, record) = self.held.swap_remove(at);
        self.free.insert(record);
        self.standing.insert(record);
    }

    /// Records that stand for nothing that is not settled, to be dropped. They may be written over
    /// meanwhile.
    pub(super) fn drop_settled(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.standing).into_iter().collect()
    }

    /// These were not dropped.
    pub(super) fn kept(&mut self, records: &[u64]) {
        self.standing.extend(records.iter().filter(|record| self.free.contains(record)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_batches_in_flight() {
        let mut records = Records::default();
        for batch in 1..=1_000 {
            records.appended(batch, records.next());
            records.settled(batch.saturating_sub(2));
            assert!(records.next() <= 3, "batch {batch}: {records:?}");
        }
        assert_eq!((records.held.len(), records.used), (2, 3));
        assert_eq!(records.drop_settled().len(), 1);
    }

    #[test]
    fn one_is_written_over_only_when_its_batch_is_settled() {
        let mut records = Records::default();
        records.appended(1, 0);
        records.appended(2, 1);
        assert_eq!(records.next(), 2, "nothing is settled");
        records.settled(2);
        records.settled(7);
        assert_eq!((records.next(), records.drop_settled()), (1, vec![1]));
        assert_eq!(
            (records.next(), records.drop_settled()),
            (1, vec![]),
            "it is gone, and its number is free"
        );
        records.kept(&[1]);
        assert_eq!((records.next(), records.drop_settled()), (1, vec![1]), "it was not gone");
        records.kept(&[1]);
        let dropped = records.drop_settled();
        records.appended(3, 1);
        records.kept(&dropped);
        records.settled(1);
        assert_eq!(
            (records.next(), records.drop_settled()),
            (0, vec![0]),
            "1 was written over meanwhile"
        );
        records.settled(3);
        assert_eq!(records.drop_settled(), [1]);
    }

    #[test]
    fn what_becomes_free_while_a_batch_is_on_its_way_is_not_taken_for_its_record() {
        let mut records = Records::default();
        records.appended(1, 0);
        let sent = records.next();
        records.settled(1);
        records.appended(2, sent);
        assert_eq!((sent, records.next()), (1, 0), "the batch on its way is in the other one");
        records.appended(3, 0);
        assert_eq!(records.next(), 2);
    }
}
