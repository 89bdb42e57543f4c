//! Configurations in which every property holds, and delivery can always be completed.
//!
//! Those that are ignored are too large for an unoptimised build; `make model` runs all.

use std::collections::BTreeMap;

use super::bounds::{Bounds, Fault, Writers};
use crate::check::{holds, sights};

/// One member at work, a row a batch.
const ONE: Bounds = Bounds::plain();
/// A second one joins at any time.
const TWO: Bounds = Bounds { members: 2, events: [1, 1], ..ONE };
/// Events come meanwhile.
const MEANWHILE: Bounds = Bounds { writers: Writers::Atomic, events: [1, 1], ..ONE };
/// Rows become visible in any order.
const LATE: Bounds = Bounds { writers: Writers::Overlapping, rollbacks: 1, ..ONE };
/// Positions are copied.
const COPIED: Bounds = Bounds { copies: true, ..MEANWHILE };

const CRASHES: Bounds = Bounds {
    writers: Writers::Asynchronous,
    rollbacks: 1,
    events: [1, 1],
    steps_over: true,
    ..ONE
};
const REDIS: [(Fault, u8); 1] = [(Fault::RedisBack, 1)];
const POSTGRES: [(Fault, u8); 1] = [(Fault::PostgresBack, 1)];
const BOTH: [(Fault, u8); 2] = [(Fault::RedisBack, 1), (Fault::PostgresBack, 1)];

#[test]
fn one_member_and_any_two_faults_of_it() {
    holds("kept, one member, any two faults", Bounds { in_flight: 2, ..ONE }.with_members(2));
}

#[test]
fn two_members_and_any_fault_of_them() {
    holds("kept, two members, any fault", TWO.with_members(1));
}

#[test]
fn two_members_of_one_stream_that_refuses() {
    let bounds = Bounds { one_stream: true, limit: 2, events: [1, 2], ..TWO };
    let faults = [(Fault::Refusal, 2), (Fault::Crash, 1)];
    holds("kept, two members of one stream", bounds.with(&faults, 2));
}

/// One of the streams takes its part of a batch, or both are in it and refuse by turns.
#[test]
fn streams_that_refuse_a_part_of_a_batch() {
    let bounds = Bounds { limit: 3, events: [2, 1], ..ONE }.with_members(2);
    let faults = [(Fault::Refusal, 2), (Fault::Crash, 1)];
    holds("kept, a part of a batch is refused", bounds.with(&faults, 3));
}

#[test]
fn late_commits() {
    holds("kept, late commits", Bounds { events: [2, 1], in_flight: 2, ..LATE });
    holds("kept, late commits, batches of two", Bounds { events: [2, 1], limit: 2, ..LATE });
}

#[test]
fn late_commits_and_any_fault_of_the_member() {
    let bounds = Bounds { rollbacks: 0, events: [1, 1], ..LATE };
    holds("kept, late commits, any fault", bounds.with_members(1));
}

#[test]
fn a_redis_that_went_back() {
    let bounds = Bounds { events: [2, 1], ..MEANWHILE };
    holds("kept, Redis back and any fault", bounds.with_members(1).with(&REDIS, 2));
}

#[test]
fn a_redis_that_went_back_twice() {
    let bounds = Bounds { events: [2, 1], ..COPIED };
    holds("kept, Redis back twice", bounds.with(&[(Fault::RedisBack, 2)], 2));
}

#[test]
fn a_redis_that_went_back_and_two_members() {
    holds("kept, Redis back, two members", TWO.with(&REDIS, 1));
}

#[test]
fn an_empty_redis() {
    let faults = [(Fault::RedisEmpty, 1), (Fault::LostReply, 1)];
    holds("kept, Redis empty and a lost reply", COPIED.with(&faults, 2));
}

#[test]
fn a_postgres_that_crashes() {
    holds("kept, Postgres crashes", CRASHES.with(&[(Fault::PostgresCrash, 1)], 1));
}

#[test]
fn a_postgres_that_went_back() {
    holds("kept, Postgres back", Bounds { events: [3, 0], ..COPIED }.with(&POSTGRES, 1));
}

#[test]
fn a_postgres_whose_files_went_back() {
    let bounds = Bounds { unmarked: true, events: [3, 0], ..COPIED };
    holds("kept, files of Postgres back", bounds.with(&POSTGRES, 1));
}

#[test]
fn both_servers_that_went_back() {
    holds("kept, both back", COPIED.with(&BOTH, 2));
    holds("kept, both back, three rows", Bounds { events: [3, 0], ..COPIED }.with(&BOTH, 2));
}

#[test]
#[ignore = "large"]
fn both_servers_that_went_back_and_a_lost_reply() {
    let faults = [(Fault::RedisBack, 1), (Fault::PostgresBack, 1), (Fault::LostReply, 1)];
    holds("kept, both back and a lost reply", COPIED.with(&faults, 3));
    let from_the_start = Bounds { started: 0, events: [2, 0], ..COPIED };
    holds("kept, both back and a lost reply, from the start", from_the_start.with(&faults, 3));
}

#[test]
#[ignore = "large"]
fn both_servers_that_went_back_and_two_members() {
    holds("kept, both back, two members", Bounds { copies: true, ..TWO }.with(&BOTH, 2));
}

#[test]
#[ignore = "large"]
fn a_server_that_went_back_and_any_fault_of_the_member() {
    holds("kept, Redis back and any fault", COPIED.with_members(1).with(&REDIS, 2));
    holds("kept, Postgres back and any fault", COPIED.with_members(1).with(&POSTGRES, 2));
}

#[test]
#[ignore = "large"]
fn a_postgres_that_crashes_twice() {
    let bounds = Bounds { events: [2, 1], ..CRASHES };
    holds("kept, Postgres crashes twice", bounds.with(&[(Fault::PostgresCrash, 2)], 2));
}

#[test]
#[ignore = "large"]
fn two_members_and_any_two_faults_of_them() {
    holds("kept, two members, any two faults", TWO.with_members(2));
}

#[test]
#[ignore = "large"]
fn late_commits_in_two_batches() {
    let bounds = Bounds { events: [2, 2], in_flight: 2, steps_over: true, ..LATE };
    holds("kept, late commits, two batches", bounds);
}

/// Delivery can always be completed; and whatever may happen does, else the properties would hold
/// of nothing.
#[test]
fn everything_happens_and_can_be_completed() {
    let lost = (Fault::LostReply, 1);
    let runs = [
        ("kept, one member", ONE.with_members(1)),
        ("kept, two members", TWO.with(&[(Fault::Crash, 1), (Fault::Refusal, 1)], 1)),
        ("kept, late commits", Bounds { events: [1, 1], ..LATE }),
        ("kept, Redis back", COPIED.with(&[(Fault::RedisBack, 1), lost], 2)),
        ("kept, Redis empty", COPIED.with(&[(Fault::RedisEmpty, 1)], 1)),
        ("kept, Postgres back", COPIED.with(&[(Fault::PostgresBack, 1), (Fault::Freeze, 1)], 2)),
        ("kept, Postgres crashes", CRASHES.with(&[(Fault::PostgresCrash, 1)], 1)),
    ];
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (name, bounds) in runs {
        for (sight, times) in sights(name, bounds).1 {
            *seen.entry(sight).or_default() += times;
        }
    }
    let missing: Vec<&str> =
        EXPECTED.into_iter().chain(CONCLUDED).filter(|of| !seen.contains_key(*of)).collect();
    assert!(missing.is_empty(), "never: {missing:?}; but {seen:?}");
}

/// Steps, and what comes of them.
const EXPECTED: [&str; 48] = [
    "Write",
    "Insert",
    "Commit",
    "CommitLazily",
    "RollBack",
    "Start",
    "Fence",
    "Raise",
    "Install",
    "Finish",
    "Read",
    "ReadOf",
    "PassBy",
    "Append",
    "Append 0 Refused",
    "Append 0 Outage",
    "Copy",
    "Probe",
    "Unpark",
    "NoticeChange",
    "NoticeLost",
    "RunLate",
    "Crash",
    "Freeze",
    "LoseReply late=false",
    "LoseReply late=true",
    "SaveRedis",
    "SavePostgres",
    "RestoreRedis",
    "RestorePostgres",
    "EmptyRedis",
    "CrashPostgres",
    "an append",
    "an append of a target",
    "an append of a stream that was parked",
    "an append is fenced",
    "an append finds that the journal is another",
    "a step over nothing",
    "a late append is taken",
    "a late append is refused",
    "a late raise",
    "a late install is taken",
    "a read finds another timeline",
    "the log was not flushed",
    "a generation is adopted",
    "a generation is raised",
    "a recovery has lost its fence",
    "nothing has happened",
];
/// What recoveries conclude.
const CONCLUDED: [&str; 3] = ["Redis went back", "the journal is gone", "Postgres went back"];
