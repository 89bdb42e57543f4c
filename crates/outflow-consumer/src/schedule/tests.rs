//! The schedule under drawn histories: order per key, one of a key at a time, nothing lost, nobody
//! idle without need.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::{EntryId, Lane, Limits, Room, Schedule, Scheduled};

/// Numbers of entries: none is a suspect.
impl Scheduled for u64 {
    fn blamed(&self) -> Option<u32> {
        None
    }

    fn limit(&self) -> Option<usize> {
        None
    }

    fn park(&mut self) {}
}

/// Entries that are out at a time.
const ROOM: usize = 3;

fn room(is_free: bool) -> Room {
    if is_free { Room::Free } else { Room::NoWorker }
}

/// What may happen, with numbers that choose among what there is.
#[derive(Debug, Clone, Copy)]
enum Event {
    Push { key: u8, late: bool },
    Take,
    Done(usize),
    Retry(usize, u64),
    PutBack(usize),
    PutLast(usize),
    Close(u64),
    Open,
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..6_u8, any::<bool>()).prop_map(|(key, late)| Event::Push { key, late }),
        8 => Just(Event::Take),
        5 => any::<usize>().prop_map(Event::Done),
        2 => (any::<usize>(), 1..50_u64).prop_map(|(which, pause)| Event::Retry(which, pause)),
        1 => any::<usize>().prop_map(Event::PutBack),
        1 => any::<usize>().prop_map(Event::PutLast),
        1 => (1..50_u64).prop_map(Event::Close),
        2 => Just(Event::Open),
        3 => (1..60_u64).prop_map(Event::Pass),
    ]
}

/// What the schedule must agree with: plain lists.
struct Model {
    schedule: Schedule<u64>,
    now: Instant,
    queued: BTreeMap<u8, Vec<u64>>,
    waiting: HashMap<u8, Instant>,
    running: Vec<(Lane, u64, u8)>,
    gate: Option<Instant>,
    next_id: u64,
}

fn id(number: u64) -> EntryId {
    EntryId { ms: number, number: 0 }
}

fn lane(key: u8) -> Lane {
    Lane::of(0, key.to_string(), EntryId::default())
}

impl Model {
    fn new() -> Self {
        let (queued, waiting, running) = (BTreeMap::new(), HashMap::new(), Vec::new());
        Self {
            schedule: Schedule::new(Limits::default()),
            now: Instant::now(),
            queued,
            waiting,
            running,
            gate: None,
            next_id: 1_000,
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Push { key, late } => {
                self.next_id += 1;
                // A late one has a lower id than what is queued, as one that was taken over has.
                let number = if late { 2_000_000 - self.next_id } else { 1_000_000 + self.next_id };
                let behind = self.schedule.push(&lane(key), id(number), number);
                // Once the pause is over, it may have been noticed or not.
                let waits = self.waiting.get(&key);
                assert!(if behind {
                    waits.is_some()
                } else {
                    waits.is_none_or(|at| *at <= self.now)
                });
                let queue = self.queued.entry(key).or_default();
                queue.push(number);
                queue.sort_unstable();
            }
            Event::Take => self.take(),
            Event::Pass(millis) => self.now += Duration::from_millis(millis),
            Event::Open => {
                self.schedule.open();
                self.gate = None;
            }
            Event::Close(millis) => {
                let until = self.now + Duration::from_millis(millis);
                self.schedule.close(until);
                self.gate = Some(until);
            }
            Event::Done(_) | Event::Retry(..) | Event::PutBack(_) | Event::PutLast(_)
                if self.running.is_empty() => {}
            Event::Done(which) => {
                let (lane, ..) = self.running.remove(which % self.running.len());
                self.schedule.done(&lane);
            }
            Event::Retry(which, pause) => {
                let (lane, number, key) = self.running.remove(which % self.running.len());
                let at = self.now + Duration::from_millis(pause);
                self.schedule.retry(&lane, id(number), number, at);
                self.waiting.insert(key, at);
                self.queued.entry(key).or_default().insert(0, number);
                self.queued.entry(key).or_default().sort_unstable();
            }
            Event::PutBack(which) | Event::PutLast(which) => {
                let (lane, number, key) = self.running.remove(which % self.running.len());
                if matches!(event, Event::PutLast(_)) {
                    self.schedule.put_last(&lane, id(number), number);
                } else {
                    self.schedule.put_back(&lane, id(number), number);
                }
                self.queued.entry(key).or_default().push(number);
                self.queued.entry(key).or_default().sort_unstable();
            }
        }
        assert_eq!(self.schedule.running(), self.running.len());
    }

    fn takeable(&self) -> Vec<u8> {
        let gated = self.gate.is_some_and(|until| until > self.now || !self.running.is_empty());
        if gated || self.running.len() == ROOM {
            return Vec::new();
        }
        let free = |key: &u8| {
            self.waiting.get(key).is_none_or(|at| *at <= self.now)
                && !self.running.iter().any(|(_, _, running)| running == key)
        };
        self.queued
            .iter()
            .filter(|(key, queue)| !queue.is_empty() && free(key))
            .map(|(key, _)| *key)
            .collect()
    }

    /// Takes one, which must be the first of a key that is free; there is one if, and only if,
    /// there should be.
    fn take(&mut self) {
        let takeable = self.takeable();
        let has_room = self.running.len() < ROOM;
        let Some((lane, taken, number)) = self.schedule.next(self.now, |_, _| room(has_room))
        else {
            assert!(takeable.is_empty(), "idle though {takeable:?} could be taken");
            return;
        };
        let Lane::Key(0, key) = &lane else { panic!("{lane:?}") };
        let key: u8 = std::str::from_utf8(key).expect("our key").parse().expect("our key");
        assert!(takeable.contains(&key), "{key} is not free: {takeable:?}");
        let first = self.queued.get_mut(&key).expect("its queue").remove(0);
        assert_eq!((taken, number), (id(first), first), "not the first of its key");
        self.waiting.remove(&key);
        self.running.push((lane, number, key));
    }

    /// With all workers free and time passing, everything comes out.
    fn drain(&mut self) {
        self.apply(Event::Open);
        loop {
            while let Some((lane, ..)) = self.running.pop() {
                self.schedule.done(&lane);
            }
            self.take();
            if self.running.is_empty() {
                match self.schedule.due() {
                    Some(due) => self.now = self.now.max(due),
                    None => break,
                }
            }
        }
        assert!(self.queued.values().all(Vec::is_empty), "left behind: {:?}", self.queued);
        assert!(
            self.schedule.lanes.is_empty()
                && self.schedule.ready.is_empty()
                && self.schedule.waiting.is_empty()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None,
        ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn every_history_keeps_the_order_of_each_key_and_loses_nothing(events in vec(event(), 1..80)) {
        let mut model = Model::new();
        for event in events {
            model.apply(event);
        }
        model.drain();
    }
}

fn next(schedule: &mut Schedule<u64>, now: Instant) -> Option<(Lane, EntryId, u64)> {
    schedule.next(now, |_, _| Room::Free)
}

#[test]
fn a_key_under_retry_waits_while_the_others_go_on() {
    let (mut schedule, now) = (Schedule::new(Limits::default()), Instant::now());
    for (key, number) in [(1, 1), (1, 2), (2, 3)] {
        schedule.push(&lane(key), id(number), number);
    }
    let (first, _, _) = next(&mut schedule, now).expect("the first");
    let at = now + Duration::from_secs(1);
    schedule.retry(&first, id(1), 1, at);
    assert_eq!(next(&mut schedule, now).map(|(_, _, number)| number), Some(3), "the other key");
    schedule.done(&lane(2));
    assert_eq!((next(&mut schedule, now), schedule.due()), (None, Some(at)));
    assert_eq!(schedule.next(at, |_, _| Room::NoWorker), None, "no room");
    assert_eq!(
        next(&mut schedule, at).map(|(_, _, number)| number),
        Some(1),
        "not the second of its key"
    );
}

#[test]
fn entries_without_a_key_hold_nobody_up() {
    let mut schedule = Schedule::new(Limits::default());
    for number in 1..=3 {
        schedule.push(&Lane::of(0, "", id(number)), id(number), number);
    }
    let taken = std::iter::from_fn(|| next(&mut schedule, Instant::now())).count();
    assert_eq!(taken, 3);
}

#[test]
fn a_stream_that_is_gone_is_forgotten_and_the_other_is_not() {
    let (mut schedule, now) = (Schedule::new(Limits::default()), Instant::now());
    for (stream, number) in [(0, 1), (0, 2), (1, 3), (0, 4)] {
        schedule.push(&Lane::of(stream, "k", id(number)), id(number), number);
    }
    let (running, _, number) = next(&mut schedule, now).expect("one");
    assert_eq!(number, 1);
    schedule.forget(0);
    schedule.done(&running);
    let rest: Vec<u64> =
        std::iter::from_fn(|| next(&mut schedule, now)).map(|(_, _, number)| number).collect();
    assert_eq!(rest, [3]);
}

/// A number, and how much it is blamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Blamed(u64, Option<u32>);

impl Scheduled for Blamed {
    fn blamed(&self) -> Option<u32> {
        self.1
    }

    fn limit(&self) -> Option<usize> {
        None
    }

    fn park(&mut self) {}
}

#[test]
fn a_suspect_is_tried_alone_and_the_least_blamed_comes_first() {
    let (mut schedule, now) = (Schedule::new(Limits::default()), Instant::now());
    let blamed = [(1, Some(2)), (2, None), (3, Some(0)), (4, None), (5, Some(1))];
    for (number, blamed) in blamed {
        schedule.push(
            &lane(u8::try_from(number).expect("small")),
            id(number),
            Blamed(number, blamed),
        );
    }
    let take = |schedule: &mut Schedule<Blamed>, now| {
        schedule.next(now, |_, _| Room::Free).map(|(lane, _, entry)| (lane, entry.0))
    };
    schedule.hold_suspects(true);
    let (two, _) = take(&mut schedule, now).expect("no suspect");
    let (four, _) = take(&mut schedule, now).expect("no suspect");
    assert_eq!(take(&mut schedule, now), None, "not before all are known");
    schedule.hold_suspects(false);
    assert_eq!(take(&mut schedule, now), None, "not beside others");
    schedule.done(&two);
    assert_eq!(take(&mut schedule, now), None);
    schedule.done(&four);
    let (three, number) = take(&mut schedule, now).expect("a suspect");
    assert_eq!((number, schedule.is_alone()), (3, true));
    schedule.push(&lane(6), id(6), Blamed(6, None));
    assert_eq!(take(&mut schedule, now), None, "nothing beside it");
    let later = now + Duration::from_secs(2);
    schedule.done(&three);
    assert!(!schedule.is_alone());
    let (six, number) = take(&mut schedule, later).expect("the others have their time");
    assert_eq!((number, take(&mut schedule, later)), (6, None));
    schedule.done(&six);
    for expected in [5, 1] {
        let (lane, number) = take(&mut schedule, later).expect("nothing else to do");
        assert_eq!((number, schedule.is_alone()), (expected, true));
        schedule.done(&lane);
    }
    assert_eq!((take(&mut schedule, later), schedule.due(), schedule.running()), (None, None, 0));
}
