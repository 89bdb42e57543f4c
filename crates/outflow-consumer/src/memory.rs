//! Memory in memory for entries: for how many, and for how many bytes of them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::schedule::Room;
use super::settings::Settings;

/// What bytes are counted in.
const UNIT: usize = 1 << 10;
/// The most that one script copies: some milliseconds of Redis.
const CHUNK_MAX: usize = 4 << 20;

/// The room of one consumer, for all of its streams.
///
/// Three quarters of the bytes are for what is read ahead, a quarter for what is fetched again when
/// its turn comes: what was too large to be read ahead, and what gave up its fields while it waited
/// behind an entry that is retried. Those that are read never wait for those that are fetched, nor
/// the other way round, so that neither can starve the other. Entries of types with limits may be
/// fetched into half of that quarter: they may be slow, and others go on meanwhile. One that is
/// larger than the half counts as all of it.
#[derive(Debug)]
pub(super) struct Memory {
    entries: Arc<Semaphore>,
    ahead: Arc<Semaphore>,
    again: Arc<Semaphore>,
    again_units: u32,
    share: Arc<Semaphore>,
    share_units: u32,
    chunk: u32,
}

/// An entry's place in memory. Dropped, it is free.
#[derive(Debug, Default)]
pub(super) struct Reservation {
    _entry: Option<OwnedSemaphorePermit>,
    bytes: Option<OwnedSemaphorePermit>,
    /// What it has of the share of the types with limits.
    share: Option<OwnedSemaphorePermit>,
}

/// Memory for one read: for one entry or more, and for their bytes.
#[derive(Debug)]
pub(super) struct Claim {
    entries: OwnedSemaphorePermit,
    bytes: OwnedSemaphorePermit,
}

impl Memory {
    pub(super) fn new(settings: &Settings) -> Self {
        let again_units = units(settings.prefetch_bytes / 4);
        let ahead_units = units(settings.prefetch_bytes - settings.prefetch_bytes / 4);
        let semaphore =
            |count: u32| Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(usize::MAX)));
        Self {
            entries: Arc::new(Semaphore::new(settings.prefetch.max(1))),
            ahead: semaphore(ahead_units),
            again: semaphore(again_units),
            again_units,
            share: semaphore((again_units / 2).max(1)),
            share_units: (again_units / 2).max(1),
            // Not all of it: one small entry that takes long would keep everything else from being
            // read.
            chunk: (ahead_units / 4).clamp(1, units(CHUNK_MAX)),
        }
    }

    /// Memory for a read of up to `batch` entries, if there is any.
    pub(super) fn try_claim(&self, batch: usize) -> Option<Claim> {
        let first = Arc::clone(&self.entries).try_acquire_owned().ok()?;
        let bytes = Arc::clone(&self.ahead).try_acquire_many_owned(self.chunk).ok()?;
        Some(self.widen(Claim { entries: first, bytes }, batch))
    }

    /// As [`Memory::try_claim`], once there is some.
    pub(super) async fn claim(&self, batch: usize) -> Option<Claim> {
        // Never closed.
        let first = Arc::clone(&self.entries).acquire_owned().await.ok()?;
        let bytes = Arc::clone(&self.ahead).acquire_many_owned(self.chunk).await.ok()?;
        Some(self.widen(Claim { entries: first, bytes }, batch))
    }

    fn widen(&self, mut claim: Claim, batch: usize) -> Claim {
        while claim.entries.num_permits() < batch
            && let Ok(more) = Arc::clone(&self.entries).try_acquire_owned()
        {
            claim.entries.merge(more);
        }
        claim
    }

    /// Whether the fields of an entry so large can be fetched. One that is larger than all the room
    /// has it to itself.
    pub(super) fn room_again(&self, bytes: usize, is_limited: bool) -> Room {
        let has = |semaphore: &Semaphore, most: u32| {
            let wanted = usize::try_from(units(bytes).min(most)).unwrap_or(usize::MAX);
            semaphore.available_permits() >= wanted
        };
        if is_limited && !has(&self.share, self.share_units) {
            Room::NoShare
        } else if has(&self.again, self.again_units) {
            Room::ToFetch
        } else {
            Room::NoMemory
        }
    }

    /// Gives an entry whose fields are fetched the room for them.
    pub(super) fn take_again(
        &self,
        reservation: &mut Option<Reservation>,
        bytes: usize,
        is_limited: bool,
    ) {
        let take = |semaphore: &Arc<Semaphore>, most: u32| {
            Arc::clone(semaphore).try_acquire_many_owned(units(bytes).min(most)).ok()
        };
        let reservation = reservation.get_or_insert_default();
        reservation.bytes = take(&self.again, self.again_units);
        reservation.share = if is_limited { take(&self.share, self.share_units) } else { None };
    }
}

impl Claim {
    pub(super) fn entries(&self) -> usize {
        self.entries.num_permits()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.num_permits() * UNIT
    }

    /// The place of one entry of so many bytes; none for its fields when it came without them.
    pub(super) fn reserve(&mut self, bytes: Option<usize>) -> Reservation {
        let wanted = bytes.map(|bytes| usize::try_from(units(bytes)).unwrap_or(usize::MAX));
        // Rounding up may ask for more than is left of a claim that is full.
        let wanted = wanted.map(|wanted| wanted.min(self.bytes.num_permits()));
        Reservation {
            _entry: self.entries.split(1),
            bytes: wanted.and_then(|wanted| self.bytes.split(wanted)),
            share: None,
        }
    }
}

/// At least one. What Tokio can count is far beyond any memory that this is about.
fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX).min(u32::MAX >> 4)
}

#[cfg(test)]
mod tests {
    use super::{Memory, Reservation, Room, Settings};

    fn memory(prefetch: usize, prefetch_bytes: usize) -> Memory {
        let settings = Settings::builder("s", "g", "c");
        let settings = settings.prefetch(prefetch).prefetch_bytes(prefetch_bytes).build();
        Memory::new(&settings.expect("settings"))
    }

    #[test]
    fn entries_and_bytes_are_both_bounded_and_given_back() {
        let memory = memory(3, 16 << 10);
        let mut claim = memory.try_claim(10).expect("room");
        assert_eq!((claim.entries(), claim.bytes()), (3, 3 << 10));
        let places = [claim.reserve(Some(2_000)), claim.reserve(None)];
        assert!(memory.try_claim(1).is_none());
        drop(claim);
        assert_eq!(memory.try_claim(10).expect("room").entries(), 1);
        drop(places);
        assert_eq!(memory.try_claim(10).expect("room").entries(), 3);
    }

    #[test]
    fn what_is_larger_than_all_the_room_has_it_to_itself() {
        let memory = memory(3, 16 << 10);
        let (mut large, mut small): (Option<Reservation>, Option<Reservation>) = (None, None);
        assert_eq!(memory.room_again(1 << 30, false), Room::ToFetch);
        memory.take_again(&mut large, 1 << 30, false);
        assert!(large.is_some());
        assert_eq!(memory.room_again(1, false), Room::NoMemory);
        drop(large);
        memory.take_again(&mut small, 1, false);
        assert_eq!(memory.room_again(1 << 30, false), Room::NoMemory);
        assert_eq!(memory.room_again(3 << 10, false), Room::ToFetch);
    }

    #[test]
    fn types_with_limits_leave_half_to_the_others() {
        let memory = memory(3, 16 << 10);
        let (mut one, mut two): (Option<Reservation>, Option<Reservation>) = (None, None);
        memory.take_again(&mut one, 1, true);
        assert_eq!(memory.room_again(2 << 10, true), Room::NoShare);
        assert_eq!(memory.room_again(3 << 10, false), Room::ToFetch);
        memory.take_again(&mut two, 1, true);
        assert_eq!(memory.room_again(1, true), Room::NoShare);
        assert_eq!(memory.room_again(2 << 10, false), Room::ToFetch);
        assert_eq!(memory.room_again(3 << 10, false), Room::NoMemory);
        drop((one, two));
        assert_eq!(memory.room_again(1 << 30, true), Room::ToFetch);
    }
}
