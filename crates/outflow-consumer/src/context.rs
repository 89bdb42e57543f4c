//! What the tasks of one consumer share.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::control::Control;
use super::group::Group;
use super::handler::Handler;
use super::health::Part;
use super::id::EntryId;
use super::lifecycle::Lifecycle;
use super::observer::{Observation, Observer};
use super::settings::Settings;

/// Everything of a consumer that does not change hands.
pub(super) struct Context<H> {
    pub(super) handler: H,
    pub(super) settings: Settings,
    pub(super) lifecycle: Lifecycle,
    pub(super) control: Control,
    pub(super) observer: Box<dyn Observer>,
    /// In the order of the settings.
    pub(super) streams: Vec<Stream>,
    /// All that is ours from before is known, or as much of it as there is room for.
    pub(super) settled: Notify,
}

/// One of its streams.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) group: Group,
    /// Something has changed for the reader.
    pub(super) wake: Notify,
    /// Redis said that the group does not exist. Not assumed at the start: creating it is refused
    /// by a full Redis, also when it is there.
    pub(super) group_gone: AtomicBool,
    /// Whether our name is ours (enter.lua).
    pub(super) entered: AtomicBool,
    /// What is ours already is still being read.
    pub(super) resuming: AtomicBool,
    /// Held while entries are read and while they are taken over: what is taken over is older than
    /// what is read after it, and must not be told of later.
    pub(super) turn: tokio::sync::Mutex<()>,
    reading: Mutex<Reading>,
}

/// Where a read starts. What it brings counts only if nobody has asked for a reading from the
/// beginning meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    pass: u64,
    /// The last id that we know to be ours.
    pub(super) cursor: EntryId,
}

/// What was read and is not acknowledged, and how far that goes.
#[derive(Debug, Default)]
struct Reading {
    position: Position,
    in_hand: HashSet<EntryId>,
}

impl<H: Handler> Context<H> {
    /// Another process has our name on this stream. Whatever we had of it is that one's now.
    pub(super) fn displaced(&self, stream: usize) {
        let ours = &self.streams[stream];
        if ours.entered.swap(false, Ordering::SeqCst) {
            let (name, consumer) = (self.name(stream), &self.settings.consumer);
            tracing::error!(stream = name, %consumer, "another process has taken our name over, \
                while we gave no sign of life");
            self.lifecycle
                .health
                .down(Part::Name(stream), "another process has taken our name over");
            ours.reading().in_hand.clear();
            ours.rescan();
        }
    }

    /// Says that entries may be tried alone: the others of this stream that could be are known.
    pub(super) fn settle(&self, stream: usize) {
        if self.streams[stream].resuming.swap(false, Ordering::SeqCst) {
            self.settled.notify_one();
        }
    }

    /// Tells the observer something about a stream.
    pub(super) fn observe(&self, stream: usize, observation: &Observation) {
        self.observer.observe(self.name(stream), observation);
    }

    /// The stream's name, for messages.
    pub(super) fn name(&self, stream: usize) -> &str {
        &self.streams[stream].group.stream
    }
}

impl Stream {
    pub(super) fn new(group: Group) -> Self {
        Self {
            group,
            wake: Notify::new(),
            group_gone: AtomicBool::new(false),
            entered: AtomicBool::new(false),
            resuming: AtomicBool::new(true),
            turn: tokio::sync::Mutex::default(),
            reading: Mutex::default(),
        }
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock()
    }

    /// Where to read on.
    pub(super) fn position(&self) -> Position {
        self.reading().position
    }

    /// Whether what was read from there still counts.
    pub(super) fn is_current(&self, from: Position) -> bool {
        self.reading().position.pass == from.pass
    }

    /// Notes that an entry was read. Returns whether it counts: not if it is in hand already.
    pub(super) fn hold(&self, from: Position, id: EntryId) -> bool {
        let mut reading = self.reading();
        if reading.position.pass != from.pass {
            return false;
        }
        reading.position.cursor = reading.position.cursor.max(id);
        reading.in_hand.insert(id)
    }

    /// Notes that an entry is acknowledged, or somebody else's.
    pub(super) fn release(&self, ids: impl IntoIterator<Item = EntryId>) {
        let mut reading = self.reading();
        for id in ids {
            reading.in_hand.remove(&id);
        }
    }

    /// Reads our pending list again from its beginning; what is in hand is passed over.
    pub(super) fn rescan(&self) {
        let mut reading = self.reading();
        reading.position = Position { pass: reading.position.pass + 1, cursor: EntryId::default() };
        drop(reading);
        self.resuming.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// Whether the reader has gone past one of these and we do not have it in hand.
    pub(super) fn misses_any(&self, pending: &[EntryId]) -> bool {
        let reading = self.reading();
        pending.iter().any(|id| *id <= reading.position.cursor && !reading.in_hand.contains(id))
    }

    /// The group or the stream does not exist any more: nothing of it is in hand.
    pub(super) fn lose_group(&self) {
        self.group_gone.store(true, Ordering::SeqCst);
        self.reading().in_hand.clear();
        self.rescan();
    }
}
