//! What goes into one call of the handler, and into one script: entries gather while the script
//! before is under way.

use bytes::Bytes;

use super::group::Held;
use super::id::EntryId;
use super::memory::Reservation;
use super::schedule::{Lane, Scheduled};

/// An entry in hand. Its place in memory is given up while it waits behind one that is being
/// retried, and its fields too.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) held: Held,
    pub(super) memory: Option<Reservation>,
    /// The number of its type's limits.
    pub(super) limit: Option<usize>,
    /// How often it was in somebody's way, or somebody in its.
    pub(super) postponements: u32,
    /// How many outcomes there had been when it last found that what the handler needs is away.
    pub(super) waited_at: Option<u64>,
    /// It may kill its consumer, or never end: it was being handled, beside others, when one died,
    /// or took too long. It is tried alone before it is blamed for anything.
    pub(super) is_suspect: bool,
    /// Nothing else is being handled beside it.
    pub(super) is_alone: bool,
}

/// An entry that is taken from the schedule.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) lane: Lane,
    pub(super) item: Item,
}

/// What waits for a script of one stream that is under way: the next run takes all of it at once.
#[derive(Debug, Default)]
pub(super) struct Batches {
    /// One call of the handler each.
    pub(super) to_begin: Vec<Vec<Job>>,
    pub(super) beginning: bool,
    pub(super) to_acknowledge: Vec<(EntryId, Bytes)>,
    pub(super) acknowledging: bool,
}

impl Item {
    pub(super) fn new(held: Held, memory: Reservation, limit: Option<usize>) -> Self {
        let is_suspect = held.uncounted > 0;
        Self {
            held,
            memory: Some(memory),
            limit,
            postponements: 0,
            waited_at: None,
            is_suspect,
            is_alone: false,
        }
    }

    /// Counts an attempt that begins. In company, nobody could say whose fault a crash is.
    pub(super) fn begin(&mut self) {
        self.held.attempts += 1;
        self.held.uncounted += u32::from(!self.is_alone);
    }

    /// The attempt has an outcome: it counts.
    pub(super) fn count(&mut self) {
        self.held.uncounted -= u32::from(!self.is_alone);
    }

    /// Whether it may share a call with others. What was attempted before may be poison, deadly
    /// even: the others of its call would have to be attempted again, and one that kills the
    /// consumer would cost each of them an attempt. And what finds something away may do so alone,
    /// and would make it look so for the others of its call.
    pub(super) fn can_share_call(&self) -> bool {
        self.held.attempts == 0
            && self.postponements == 0
            && self.waited_at.is_none()
            && !self.is_suspect
    }
}

impl Scheduled for Item {
    fn blamed(&self) -> Option<u32> {
        self.is_suspect.then(|| self.held.counted())
    }

    fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// Its memory would keep other types' entries from being read.
    fn park(&mut self) {
        (self.memory, self.held.fields) = (None, None);
    }
}

impl Batches {
    /// Whether an entry can join a call that has not begun; `most` is how many it takes.
    pub(super) fn can_join(&self, item: &Item, most: usize) -> bool {
        item.can_share_call() && self.joinable(most).is_some()
    }

    /// Adds an entry to a call. Returns whether that is another call.
    pub(super) fn add(&mut self, job: Job, most: usize) -> bool {
        let place = if job.item.can_share_call() { self.joinable(most) } else { None };
        match place {
            Some(place) => self.to_begin[place].push(job),
            None => self.to_begin.push(vec![job]),
        }
        place.is_none()
    }

    /// The last one that has memory: those before it are full, or have one that must be alone.
    fn joinable(&self, most: usize) -> Option<usize> {
        self.to_begin
            .iter()
            .rposition(|call| call.len() < most && call.iter().all(|job| job.item.can_share_call()))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Batches, EntryId, Held, Item, Job, Lane, Reservation};

    fn job(number: u64, attempts: u32, postponed: bool) -> Job {
        let id = EntryId { ms: number, number: 0 };
        let (key, event_type) = (Bytes::new(), Bytes::new());
        let held = Held { id, key, event_type, attempts, uncounted: 0, bytes: 0, fields: None };
        let item = Item::new(held, Reservation::default(), None);
        let item = Item { postponements: u32::from(postponed), ..item };
        Job { lane: Lane::of(0, "", id), item }
    }

    #[test]
    fn a_call_fills_up_and_what_was_attempted_before_is_alone() {
        let rows = [
            (0, false, true),
            (0, false, false),
            (1, false, true),
            (0, false, false),
            (0, false, true),
            (0, true, true),
            (0, false, false),
        ];
        let mut batches = Batches::default();
        for (number, (attempts, postponed, another)) in (0..).zip(rows) {
            let job = job(number, attempts, postponed);
            assert_eq!(batches.can_join(&job.item, 3), !another, "{number}");
            assert_eq!(batches.add(job, 3), another, "{number}");
        }
        let numbers =
            |call: &Vec<Job>| call.iter().map(|job| job.item.held.id.ms).collect::<Vec<_>>();
        let calls: Vec<_> = batches.to_begin.iter().map(numbers).collect();
        assert_eq!(calls, [vec![0, 1, 3], vec![2], vec![4, 6], vec![5]]);
    }

    #[test]
    fn calls_of_one_are_never_joined() {
        let mut batches = Batches::default();
        assert!((0..3).all(|number| batches.add(job(number, 0, false), 1)));
    }
}
