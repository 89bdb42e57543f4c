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

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::id::EntryId;

/// What is handled in order: the entries of one key of one stream, or an entry without a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Lane {
    /// A stream, by its number, and a key.
    Key(usize, Arc<[u8]>),
    /// An entry that has no key.
    Alone(usize, EntryId),
}

impl Lane {
    pub(super) fn of(stream: usize, key: impl AsRef<[u8]>, id: EntryId) -> Self {
        let key = key.as_ref();
        if key.is_empty() { Self::Alone(stream, id) } else { Self::Key(stream, key.into()) }
    }

    pub(super) fn stream(&self) -> usize {
        match self {
            Self::Key(stream, _) | Self::Alone(stream, _) => *stream,
        }
    }
}

/// What may have to be tried alone.
pub(super) trait Suspect {
    /// How much it is blamed already; `None` when it is no suspect.
    fn blamed(&self) -> Option<u32>;
}

/// Entries in hand that are not done, with whatever is known of them.
#[derive(Debug)]
pub(super) struct Schedule<T> {
    lanes: HashMap<Lane, Queue<T>>,
    /// Lanes that a worker may take, in turn: a lane that was served goes to the end.
    ready: VecDeque<Lane>,
    waiting: BTreeSet<(Instant, Lane)>,
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Running,
    Waiting(Instant),
}

impl<T: Suspect> Schedule<T> {
    pub(super) fn new() -> Self {
        let (lanes, ready, waiting) = (HashMap::new(), VecDeque::new(), BTreeSet::new());
        Self { lanes, ready, waiting, running: 0, gate: None, suspects: Suspects::default() }
    }

    /// Adds an entry to its lane, in the place of its id. Returns whether it is behind one that
    /// waits.
    pub(super) fn push(&mut self, lane: &Lane, id: EntryId, entry: T) -> bool {
        let queue = self.lanes.entry(lane.clone()).or_insert_with(|| {
            self.ready.push_back(lane.clone());
            Queue { state: State::Ready, entries: BTreeMap::new() }
        });
        queue.entries.insert(id, entry);
        matches!(queue.state, State::Waiting(_))
    }

    /// The entry whose turn it is, if there is one and there is room for it. Its lane is taken
    /// until [`Schedule::done`], [`Schedule::retry`] or [`Schedule::put_back`].
    pub(super) fn next(
        &mut self,
        now: Instant,
        has_room: impl FnOnce(&Lane, &T) -> bool,
    ) -> Option<(Lane, EntryId, T)> {
        if self.suspects.alone.is_some()
            || self.gate.is_some_and(|until| until > now || self.running > 0)
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
            self.lanes.get_mut(&lane)?.state = State::Ready;
            // It has waited enough.
            self.ready.push_front(lane);
        }
        self.sort_out();
        if let Some(lane) = self.suspect(now) {
            return self.take_alone(lane, now, has_room);
        }
        let lane = self.ready.front()?;
        let queue = self.lanes.get_mut(lane)?;
        let (_, first) = queue.entries.first_key_value()?;
        if !has_room(lane, first) {
            return None;
        }
        let lane = self.ready.pop_front()?;
        queue.state = State::Running;
        let (id, entry) = queue.entries.pop_first()?;
        self.running += 1;
        Some((lane, id, entry))
    }

    /// Puts lanes whose first entry is a suspect aside, as far as they are next.
    fn sort_out(&mut self) {
        while let Some(lane) = self.ready.front()
            && let Some(blamed) = self.first(lane).and_then(Suspect::blamed)
        {
            let Some(lane) = self.ready.pop_front() else { return };
            self.suspects.lanes.insert((blamed, lane));
        }
    }

    fn first(&self, lane: &Lane) -> Option<&T> {
        self.lanes.get(lane)?.entries.first_key_value().map(|(_, first)| first)
    }

    /// The lane whose suspect is next, unless others are.
    fn suspect(&self, now: Instant) -> Option<Lane> {
        let Suspects { lanes, are_held, not_before, .. } = &self.suspects;
        let (_, lane) = lanes.first()?;
        let others_first = not_before.is_some_and(|at| at > now) && !self.ready.is_empty();
        // Behind a closed gate nothing is beside it anyway.
        (!are_held && !others_first).then(|| lane.clone())
    }

    fn take_alone(
        &mut self,
        lane: Lane,
        now: Instant,
        has_room: impl FnOnce(&Lane, &T) -> bool,
    ) -> Option<(Lane, EntryId, T)> {
        if self.running > 0 || !has_room(&lane, self.first(&lane)?) {
            return None;
        }
        self.suspects.lanes.pop_first();
        let queue = self.lanes.get_mut(&lane)?;
        queue.state = State::Running;
        let (id, entry) = queue.entries.pop_first()?;
        // What has come before it in its lane since then may be no suspect; alone it is all the
        // same.
        self.suspects.alone = Some(now);
        self.running += 1;
        Some((lane, id, entry))
    }

    /// Whether the entry that was taken last is alone.
    pub(super) fn is_alone(&self) -> bool {
        self.suspects.alone.is_some()
    }

    /// Takes no suspect while not all of them may be known.
    pub(super) fn hold_suspects(&mut self, are_held: bool) {
        self.suspects.are_held = are_held;
    }

    fn came_back(&mut self) {
        self.running -= 1;
        if let Some(since) = self.suspects.alone.take() {
            self.suspects.ended = Some(since);
        }
    }

    /// The entry that was taken from this lane is done with: the lane's next one may be taken.
    pub(super) fn done(&mut self, lane: &Lane) {
        self.came_back();
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
        self.came_back();
        let queue = self.lanes.entry(lane.clone());
        let queue =
            queue.or_insert_with(|| Queue { state: State::Running, entries: BTreeMap::new() });
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
        self.came_back();
        let queue = self.lanes.entry(lane.clone());
        let queue =
            queue.or_insert_with(|| Queue { state: State::Running, entries: BTreeMap::new() });
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

    /// When [`Schedule::next`] is worth asking again though nothing else has happened, if there is
    /// room for an entry.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.gate.is_some() && self.running > 0 {
            return None;
        }
        let waiting = self.waiting.first().map(|(due, _)| *due);
        match self.gate {
            None => waiting,
            Some(until) if self.ready.is_empty() && self.suspects.lanes.is_empty() => {
                waiting.map(|due| due.max(until))
            }
            Some(until) => Some(until),
        }
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
        self.lanes.retain(|lane, queue| !ours(lane) || queue.state == State::Running);
        for (_, queue) in self.lanes.iter_mut().filter(|(lane, _)| ours(lane)) {
            queue.entries.clear();
        }
    }
}

#[cfg(test)]
#[path = "schedule/tests.rs"]
mod tests;
