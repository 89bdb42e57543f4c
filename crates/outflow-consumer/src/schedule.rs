//! Which entry is handled next: in order per key, one of a key at a time, different keys side by
//! side. Pure.
//!
//! Entries wait in *lanes*, one a key. A lane is with at most one worker; while its first entry is
//! between two attempts, the lane waits and the others go on. When the handler cannot work at all,
//! a *gate* closes: one entry at a time tries. A *suspect* is tried alone: nothing is taken until
//! all that is with workers has come back, then it, and nothing else until it has come back too.
//! The one that is blamed least comes first, so that a consumer that is killed from outside, again
//! and again, does not put it all on one. Between two suspects the others have as long as the last
//! one took.
//!
//! A lane whose first entry may not be taken yet is *parked*, so that the lanes behind it go on:
//! because its type has a limit (limits.rs), or because there is no memory to fetch it again
//! (parking.rs).

mod for_memory;
mod lane;
mod limits;
mod parking;
mod suspects;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use super::id::EntryId;

use for_memory::ForMemory;
pub(super) use lane::Lane;
pub(super) use limits::Limits;

/// What the schedule must know of an entry.
pub(super) trait Scheduled {
    /// How much it is blamed already; `None` when it is no suspect.
    fn blamed(&self) -> Option<u32>;

    /// The number of its type's limits, if it has any.
    fn limit(&self) -> Option<usize>;

    /// It waits for a limit: gives up what others can use meanwhile.
    fn park(&mut self);
}

/// Whether there is room for an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// There is, and memory to fetch it into.
    ToFetch,
    /// There is no memory to fetch it into.
    NoMemory,
    /// The types with limits have as much memory as they may have.
    NoShare,
    /// There is no worker for it.
    NoWorker,
}

/// Entries in hand that are not done, with whatever is known of them.
#[derive(Debug)]
pub(super) struct Schedule<T> {
    lanes: HashMap<Lane, Queue<T>>,
    /// Lanes that a worker may take, in turn: a lane that was served goes to the end.
    ready: VecDeque<Lane>,
    waiting: BTreeSet<(Instant, Lane)>,
    limits: Limits,
    /// Lanes that are parked until there is memory.
    for_memory: ForMemory,
    /// When an entry was last asked for.
    asked: Option<Instant>,
    running: usize,
    /// Until when the handler is not tried at all; `None` while it works.
    gate: Option<Instant>,
    suspects: Suspects,
}

/// Lanes whose first entry is tried alone.
#[derive(Debug, Default)]
struct Suspects {
    /// The least blamed first. Empty most of the time.
    lanes: BTreeSet<(u32, Lane)>,
    /// None is taken before all are known.
    are_held: bool,
    /// Since when one is out.
    alone: Option<Instant>,
    /// The last one that came back: when it was taken.
    ended: Option<Instant>,
    /// Not before, while there is something else to do.
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Queue<T> {
    state: State,
    entries: BTreeMap<EntryId, T>,
    /// The place that a limit has given to its entry that is taken, or will be.
    place: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Running,
    Waiting(Instant),
    Parked,
}

impl<T: Scheduled> Schedule<T> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            waiting: BTreeSet::new(),
            limits,
            for_memory: ForMemory::default(),
            asked: None,
            running: 0,
            gate: None,
            suspects: Suspects::default(),
        }
    }

    /// Adds an entry to its lane, in the place of its id. Returns whether the lane waits for
    /// something.
    pub(super) fn push(&mut self, lane: &Lane, id: EntryId, entry: T) -> bool {
        let queue = self.lanes.entry(lane.clone()).or_insert_with(|| {
            self.ready.push_back(lane.clone());
            Queue::new(State::Ready)
        });
        queue.entries.insert(id, entry);
        let is_first = queue.entries.first_key_value().is_some_and(|(first, _)| *first == id);
        if queue.state == State::Parked && is_first {
            // The lane waits for what the one behind it needs.
            self.unpark(lane);
            return false;
        }
        matches!(queue.state, State::Waiting(_) | State::Parked)
    }

    /// The entry whose turn it is, if there is one and there is room for it. Its lane is taken
    /// until [`Schedule::done`], [`Schedule::retry`] or [`Schedule::put_back`].
    pub(super) fn next(
        &mut self,
        now: Instant,
        room: impl Fn(&Lane, &T) -> Room,
    ) -> Option<(Lane, EntryId, T)> {
        self.asked = Some(now);
        if self.suspects.alone.is_some()
            || self.gate.is_some_and(|until| until > now || self.running > 0)
            || self.limits.next_at(now).is_some()
        {
            return None;
        }
        if let Some(since) = self.suspects.ended.take() {
            self.suspects.not_before = Some(now + now.saturating_duration_since(since));
        }
        while let Some((due, _)) = self.waiting.first()
            && *due <= now
        {
            let (_, lane) = self.waiting.pop_first()?;
            // It has waited enough.
            self.make_ready(lane);
        }
        loop {
            self.sort_out();
            if let Some(lane) = self.suspect(now) {
                return self.take_alone(lane, now, room);
            }
            if let Some(lane) = self.parked(now, &room) {
                return self.take(lane, now);
            }
            let lane = self.ready.front()?;
            let first = self.first(lane)?;
            let limit = first.limit().filter(|limit| !self.limits.has_place(*limit, now));
            match (room(lane, first), limit) {
                (Room::NoWorker, _) => return None,
                (_, Some(limit)) => {
                    let lane = self.ready.pop_front()?;
                    self.park(&lane);
                    self.limits.park(limit, lane);
                }
                (Room::NoMemory | Room::NoShare, None) => self.await_memory(),
                (Room::ToFetch, None) if !self.for_memory.is_empty() => self.await_memory(),
                (Room::Free | Room::ToFetch, None) => {
                    let lane = self.ready.pop_front()?;
                    return self.take(lane, now);
                }
            }
        }
    }

    /// Takes the first entry of a lane that is in no list any more.
    fn take(&mut self, lane: Lane, now: Instant) -> Option<(Lane, EntryId, T)> {
        let queue = self.lanes.get_mut(&lane)?;
        queue.state = State::Running;
        let (id, entry) = queue.entries.pop_first()?;
        self.running += 1;
        let limit = entry.limit();
        if self.lanes.get(&lane).is_some_and(|queue| queue.place != limit) {
            self.take_place(&lane);
            if let Some(limit) = limit {
                self.give_place(&lane, limit);
            }
        }
        self.limits.count(limit, now);
        Some((lane, id, entry))
    }

    fn first(&self, lane: &Lane) -> Option<&T> {
        self.lanes.get(lane)?.entries.first_key_value().map(|(_, first)| first)
    }

    fn came_back(&mut self, lane: &Lane) {
        self.running -= 1;
        self.take_place(lane);
        if let Some(since) = self.suspects.alone.take() {
            self.suspects.ended = Some(since);
        }
    }

    /// The entry that was taken from this lane is done with: the lane's next one may be taken.
    pub(super) fn done(&mut self, lane: &Lane) {
        self.came_back(lane);
        let Some(queue) = self.lanes.get_mut(lane) else { return };
        if queue.entries.is_empty() {
            self.lanes.remove(lane);
        } else {
            queue.state = State::Ready;
            self.ready.push_back(lane.clone());
        }
    }

    /// The entry is to be taken again, not before `at`; its lane waits.
    pub(super) fn retry(&mut self, lane: &Lane, id: EntryId, entry: T, at: Instant) {
        self.came_back(lane);
        let queue = self.lanes.entry(lane.clone());
        let queue = queue.or_insert_with(|| Queue::new(State::Running));
        queue.entries.insert(id, entry);
        queue.state = State::Waiting(at);
        self.waiting.insert((at, lane.clone()));
    }

    /// The entry was not attempted, or that does not count: its lane comes first again.
    pub(super) fn put_back(&mut self, lane: &Lane, id: EntryId, entry: T) {
        self.ready_again(lane, id, entry);
        self.ready.push_front(lane.clone());
    }

    /// As [`Schedule::put_back`], but the other lanes come first: what the entry met may be
    /// peculiar to it.
    pub(super) fn put_last(&mut self, lane: &Lane, id: EntryId, entry: T) {
        self.ready_again(lane, id, entry);
        self.ready.push_back(lane.clone());
    }

    fn ready_again(&mut self, lane: &Lane, id: EntryId, entry: T) {
        self.came_back(lane);
        let queue = self.lanes.entry(lane.clone());
        let queue = queue.or_insert_with(|| Queue::new(State::Running));
        queue.entries.insert(id, entry);
        queue.state = State::Ready;
    }

    /// The handler cannot work: until `until` nothing is taken, then one entry at a time, until
    /// [`Schedule::open`].
    pub(super) fn close(&mut self, until: Instant) {
        self.gate = Some(until);
    }

    /// The handler works.
    pub(super) fn open(&mut self) {
        self.gate = None;
    }

    /// Whether the handler works, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.gate.is_none()
    }

    /// When [`Schedule::next`] is worth asking again though nothing else has happened since it was
    /// last asked, if there is room for an entry.
    pub(super) fn due(&self) -> Option<Instant> {
        let asked = self.asked?;
        if self.suspects.alone.is_some() || (self.gate.is_some() && self.running > 0) {
            return None;
        }
        let is_ready = !self.ready.is_empty()
            || !(self.suspects.lanes.is_empty() || self.suspects.are_held)
            || !self.for_memory.is_empty()
            || self.limits.parked(0, asked).is_some();
        let waiting = self.waiting.first().map(|(due, _)| *due);
        let timed = waiting.into_iter().chain(self.limits.parked_until(asked)).min();
        let rate = self.limits.next_at(asked);
        let due = match self.gate {
            Some(until) if is_ready => Some(until),
            Some(until) => timed.map(|due| due.max(until)),
            None if is_ready && rate.is_some() => rate,
            None => timed,
        };
        due.map(|due| rate.map_or(due, |rate| due.max(rate)))
    }

    /// How many entries are taken.
    #[cfg(test)]
    fn running(&self) -> usize {
        self.running
    }

    /// The entries of a lane that are with no worker, in order.
    pub(super) fn queued(&mut self, lane: &Lane) -> impl Iterator<Item = &mut T> {
        self.lanes.get_mut(lane).into_iter().flat_map(|queue| queue.entries.values_mut())
    }

    /// Drops what is behind the entry of this lane that is with a worker. Returns the ids.
    pub(super) fn clear(&mut self, lane: &Lane) -> Vec<EntryId> {
        let dropped = self.lanes.get_mut(lane).map(|queue| std::mem::take(&mut queue.entries));
        dropped.unwrap_or_default().into_keys().collect()
    }

    /// Drops everything of a stream that is with no worker.
    pub(super) fn forget(&mut self, stream: usize) {
        let ours = |lane: &Lane| lane.stream() == stream;
        self.ready.retain(|lane| !ours(lane));
        self.suspects.lanes.retain(|(_, lane)| !ours(lane));
        self.waiting.retain(|(_, lane)| !ours(lane));
        self.limits.forget(ours);
        for lane in self.for_memory.forget(ours) {
            self.take_place(&lane);
        }
        self.lanes.retain(|lane, queue| !ours(lane) || queue.state == State::Running);
        for (_, queue) in self.lanes.iter_mut().filter(|(lane, _)| ours(lane)) {
            queue.entries.clear();
        }
    }
}

impl<T> Queue<T> {
    fn new(state: State) -> Self {
        Self { state, entries: BTreeMap::new(), place: None }
    }
}

#[cfg(test)]
#[path = "schedule/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "schedule/limit_tests.rs"]
mod limit_tests;
