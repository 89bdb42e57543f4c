//! Limits under drawn histories: never more of a type than it may have, nobody idle without need,
//! the order of each key as ever.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::{EntryId, Lane, Limits, Room, Schedule, Scheduled};
use crate::settings::{Rate, Settings, SettingsBuilder};

/// Entries that are out at a time, and those of them that had to be fetched.
const ROOM: usize = 4;
const MEMORY: usize = 2;
/// How many of those may be of types with limits.
const SHARE: usize = 1;
/// Of two types. The third has no limit.
const PLACES: [usize; 3] = [1, 2, usize::MAX];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    number: u64,
    kind: usize,
    has_fields: bool,
    blamed: Option<u32>,
}

impl Scheduled for Entry {
    fn blamed(&self) -> Option<u32> {
        self.blamed
    }

    fn limit(&self) -> Option<usize> {
        Some(self.kind).filter(|kind| *kind < 2)
    }

    /// The third type keeps what it has, so that it is known whether it could be taken.
    fn park(&mut self) {
        self.has_fields &= self.kind == 2;
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Push { key: u8, late: bool, kind: usize, has_fields: bool, is_suspect: bool },
    Take,
    Done(usize),
    Retry(usize, u64),
    PutBack(usize),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let push = (0..6_u8, any::<bool>(), 0..3_usize, any::<bool>(), prop::bool::weighted(0.1));
    prop_oneof![
        6 => push.prop_map(|(key, late, kind, has_fields, is_suspect)| {
            Event::Push { key, late, kind, has_fields, is_suspect }
        }),
        8 => Just(Event::Take),
        5 => any::<usize>().prop_map(Event::Done),
        2 => (any::<usize>(), 1..50_u64).prop_map(|(which, pause)| Event::Retry(which, pause)),
        1 => any::<usize>().prop_map(Event::PutBack),
        3 => (1..60_u64).prop_map(Event::Pass),
    ]
}

fn id(number: u64) -> EntryId {
    EntryId { ms: number, number: 0 }
}

fn lane(key: u8) -> Lane {
    Lane::of(0, key.to_string(), EntryId::default())
}

fn limits(change: impl Fn(SettingsBuilder) -> SettingsBuilder) -> Limits {
    let settings = change(Settings::builder("s", "g", "c")).build();
    Limits::new(&settings.expect("settings"))
}

/// What the schedule must agree with: plain lists.
struct Model {
    schedule: Schedule<Entry>,
    now: Instant,
    queued: BTreeMap<u8, BTreeMap<u64, Entry>>,
    waiting: BTreeMap<u8, Instant>,
    running: Vec<(u8, Entry, bool)>,
    next_id: u64,
}

impl Model {
    fn new() -> Self {
        let limits = limits(|all| all.type_limit("0", PLACES[0]).type_limit("1", PLACES[1]));
        Self {
            schedule: Schedule::new(limits),
            now: Instant::now(),
            queued: BTreeMap::new(),
            waiting: BTreeMap::new(),
            running: Vec::new(),
            next_id: 1_000,
        }
    }

    fn fetched(&self) -> usize {
        self.running.iter().filter(|(_, _, was_fetched)| *was_fetched).count()
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Push { key, late, kind, has_fields, is_suspect } => {
                self.next_id += 1;
                let number = if late { 2_000_000 - self.next_id } else { 1_000_000 + self.next_id };
                let blamed = is_suspect.then_some(0);
                let entry = Entry { number, kind, has_fields, blamed };
                self.schedule.push(&lane(key), id(number), entry);
                self.queued.entry(key).or_default().insert(number, entry);
            }
            Event::Take => self.take(),
            Event::Pass(millis) => self.now += Duration::from_millis(millis),
            Event::Done(_) | Event::Retry(..) | Event::PutBack(_) if self.running.is_empty() => {}
            Event::Done(which) => {
                let (key, ..) = self.running.remove(which % self.running.len());
                self.schedule.done(&lane(key));
            }
            Event::Retry(which, pause) => {
                let (key, entry, _) = self.running.remove(which % self.running.len());
                let at = self.now + Duration::from_millis(pause);
                self.schedule.retry(&lane(key), id(entry.number), entry, at);
                self.waiting.insert(key, at);
                self.queued.entry(key).or_default().insert(entry.number, entry);
            }
            Event::PutBack(which) => {
                let (key, entry, _) = self.running.remove(which % self.running.len());
                self.schedule.put_back(&lane(key), id(entry.number), entry);
                self.queued.entry(key).or_default().insert(entry.number, entry);
            }
        }
    }

    /// Keys whose first entry nothing stands in the way of, unless something is to be tried alone.
    fn takeable(&self) -> Vec<u8> {
        let firsts = self.queued.iter().filter_map(|(key, queue)| {
            let (_, first) = queue.first_key_value()?;
            let is_free = self.waiting.get(key).is_none_or(|at| *at <= self.now)
                && !self.running.iter().any(|(running, ..)| running == key);
            is_free.then_some((*key, first))
        });
        let firsts: Vec<_> = firsts.collect();
        // A lane stays with the suspects though another entry has come before its suspect.
        let mut known = self.queued.values().flat_map(BTreeMap::values);
        let are_alone = known.any(|entry| entry.blamed.is_some())
            || self.running.iter().any(|(_, entry, _)| entry.blamed.is_some());
        if self.running.len() == ROOM || (are_alone && !self.running.is_empty()) {
            return Vec::new();
        }
        // The limited ones may be parked, without their fields. What must be fetched waits in turn,
        // so that only with nobody out it is sure to go.
        // The third type's, of which none is out, is sure to find what the share leaves.
        let has_its = !self.running.iter().any(|(_, entry, was)| *was && entry.kind == 2);
        let can_go = |first: &Entry| first.kind == 2 && (first.has_fields || has_its);
        let nobody = self.running.is_empty();
        let free = firsts.iter().filter(|(_, first)| nobody || can_go(first));
        free.map(|(key, _)| *key).collect()
    }

    fn take(&mut self) {
        let (takeable, is_free) = (self.takeable(), self.running.len() < ROOM);
        let has_memory = self.fetched() < MEMORY;
        let of_share = self.running.iter().filter(|(_, entry, was)| *was && entry.kind < 2);
        let has_share = of_share.count() < SHARE;
        let next = self.schedule.next(self.now, |_, entry| match entry {
            _ if !is_free => Room::NoWorker,
            entry if entry.has_fields => Room::Free,
            entry if entry.kind < 2 && !has_share => Room::NoShare,
            _ if has_memory => Room::ToFetch,
            _ => Room::NoMemory,
        });
        let Some((lane, taken, entry)) = next else {
            assert!(takeable.is_empty(), "idle though {takeable:?} could be taken");
            return;
        };
        let Lane::Key(0, key) = &lane else { panic!("{lane:?}") };
        let key: u8 = std::str::from_utf8(key).expect("our key").parse().expect("our key");
        let queue = self.queued.get_mut(&key).expect("its queue");
        let (first, _) = queue.pop_first().expect("an entry");
        assert_eq!((taken, entry.number), (id(first), first), "not the first of its key");
        assert!(!self.running.iter().any(|(running, ..)| *running == key), "two of a key");
        self.waiting.remove(&key);
        self.running.push((key, entry, !entry.has_fields));
        for (kind, places) in PLACES.iter().enumerate() {
            let held = self.running.iter().filter(|(_, entry, _)| entry.kind == kind).count();
            assert!(held <= *places, "{held} of type {kind}");
        }
        assert!(self.fetched() <= MEMORY && self.running.len() <= ROOM);
    }

    /// As soon as entries come back, everything comes out.
    fn drain(&mut self) {
        loop {
            let before = self.running.len();
            self.take();
            if self.running.len() > before {
                continue;
            }
            if let Some((key, ..)) = self.running.pop() {
                self.schedule.done(&lane(key));
                continue;
            }
            match self.schedule.due() {
                Some(due) => self.now = self.now.max(due),
                None => break,
            }
        }
        assert!(self.queued.values().all(BTreeMap::is_empty), "left behind: {:?}", self.queued);
        assert!(self.schedule.lanes.is_empty() && self.schedule.for_memory.is_empty());
        assert!(self.schedule.limits.are_idle());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None,
        ..ProptestConfig::with_cases(3_000) })]

    #[test]
    fn every_history_keeps_to_the_limits_and_loses_nothing(events in vec(event(), 1..80)) {
        let mut model = Model::new();
        for event in events {
            model.apply(event);
        }
        model.drain();
    }
}

fn entry(number: u64, kind: usize) -> Entry {
    Entry { number, kind, has_fields: true, blamed: None }
}

fn key(number: u64) -> Lane {
    lane(u8::try_from(number).expect("small"))
}

/// Takes one; what has lost its fields needs memory, of which there is none.
fn take(schedule: &mut Schedule<Entry>, now: Instant) -> Option<u64> {
    let room = |_: &Lane, entry: &Entry| if entry.has_fields { Room::Free } else { Room::NoMemory };
    schedule.next(now, room).map(|(_, _, entry)| entry.number)
}

#[test]
fn a_limited_type_holds_up_nobody_and_gives_up_its_memory() {
    let (mut schedule, now) = (Schedule::new(limits(|all| all.type_limit("0", 1))), Instant::now());
    for number in 1..=5 {
        schedule.push(&key(number), id(number), entry(number, 0));
    }
    schedule.push(&key(6), id(6), entry(6, 2));
    assert_eq!([take(&mut schedule, now), take(&mut schedule, now)], [Some(1), Some(6)]);
    assert_eq!(take(&mut schedule, now), None, "a second one of its type");
    assert!(schedule.queued(&key(5)).all(|entry| !entry.has_fields));
    assert!(schedule.push(&key(5), id(7), entry(7, 2)), "behind one that waits");
    // What waits for memory holds nobody up either. It keeps its place.
    schedule.done(&key(1));
    schedule.push(&key(8), id(8), entry(8, 2));
    schedule.push(&key(9), id(9), entry(9, 0));
    assert_eq!([take(&mut schedule, now), take(&mut schedule, now)], [Some(8), None]);
    let next = schedule.next(now, |_, _| Room::ToFetch).map(|(_, _, entry)| entry.number);
    assert_eq!(next, Some(2), "those who waited for longest come first");
}

#[test]
fn rates_hold_and_say_when_to_ask_again() {
    let slow = |all: SettingsBuilder| {
        all.type_rate_limit("0", Rate::new(1, Duration::from_secs(10)))
            .rate_limit(Rate::per_second(1).burst(2))
    };
    let (mut schedule, start) = (Schedule::new(limits(slow)), Instant::now());
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    for (number, kind) in [(1, 0), (2, 0), (3, 2), (4, 2)] {
        schedule.push(&key(number), id(number), entry(number, kind));
    }
    let mut take = |now: Instant| {
        let next = schedule.next(now, |_, _| Room::Free).map(|(_, _, entry)| entry.number);
        (next, schedule.due())
    };
    assert_eq!(take(start).0, Some(1));
    assert_eq!(take(start).0, Some(3));
    assert_eq!(take(start), (None, Some(at(1))), "the burst is used up");
    assert_eq!(take(at(1)).0, Some(4), "the second one of the type has to wait");
    assert_eq!(take(at(2)), (None, Some(at(10))));
    assert_eq!(take(at(10)), (Some(2), None));
}

#[test]
fn a_stream_that_is_gone_gives_its_places_back() {
    let (mut schedule, now) = (Schedule::new(limits(|all| all.type_limit("0", 1))), Instant::now());
    let no_fields = |number| Entry { has_fields: false, ..entry(number, 0) };
    let on = |stream, number: u64| Lane::of(stream, number.to_string(), id(number));
    for number in 1..=3 {
        schedule.push(&on(0, number), id(number), no_fields(number));
    }
    assert_eq!(take(&mut schedule, now), None, "no memory");
    schedule.forget(0);
    assert!(schedule.limits.are_idle() && schedule.for_memory.is_empty());
    schedule.push(&on(1, 4), id(4), entry(4, 0));
    assert_eq!(take(&mut schedule, now), Some(4));
}
