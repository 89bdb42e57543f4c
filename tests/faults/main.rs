//! The fault suite: the real binary in several processes, real servers, a proxy in between, and
//! everything that can go wrong with them, drawn by seed. Afterwards a checker reads the streams.
//!
//! `make faults` makes a long run: `SEED=42 MINUTES=30 MEMBERS=3 ONLY=freeze,pg-cut make faults`.
//! With `TRIM=1` the relay trims what consumer groups have read, Redis has little memory, and more
//! is written than the slowest group reads. With `KEEP=1` the rows stay (`settle = "keep"`).

#![allow(clippy::disallowed_methods, reason = "their tasks end with their runtime")]

mod checker;
mod ddl;
mod deck;
mod harm;
mod ids;
mod kept;
mod kind;
mod memory;
mod mutants;
mod older;
mod pause;
mod pitr;
mod poison;
mod proxy;
mod readers;
mod restore;
mod run;
mod stage;
mod trimming;
mod writers;

use std::time::Duration;

use harm::Scale;
use kept::Layout;
use kind::Kind;
use run::{Plan, Run};
use writers::Load;

/// Everything a plan needs that is not said otherwise.
fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        members: 3,
        kinds: Kind::of(false),
        maxmemory: 0,
        length: Duration::ZERO,
        scale: Scale::FULL,
        load: Load::steady(),
        recovery_max: Duration::from_mins(1),
        rewrites: Vec::new(),
        prelude: "",
        keep: None,
    }
}

/// The same if the relay trims.
fn trimming(seed: u64) -> Plan {
    Plan {
        kinds: Kind::of(true),
        load: Load::full(),
        // The outbox is full, and only the groups make room.
        recovery_max: Duration::from_mins(2),
        maxmemory: 24 << 20,
        ..plan(seed)
    }
}

/// The same if the relay keeps the rows; the layout of their table is a matter of the seed.
fn keeping(seed: u64) -> Plan {
    Plan { keep: Some(Layout::of_seed(seed)), ..plan(seed) }
}

async fn clean(plan: Plan) {
    let mut run = Run::start(plan).await;
    run.rounds().await;
    let outcome = run.finish().await;
    assert!(outcome.verdict.is_clean(), "{}\n{}", outcome.summary, outcome.verdict.told());
}

/// One fault of several kinds in a quarter of a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_run_is_clean() {
    use Kind::{
        Freeze, Full, Kill, Pause, PgCut, PgTerminate, RedisDrop, RedisFreeze, RedisKill, Restore,
        Term, WrongType,
    };
    let kinds = vec![
        Kill,
        Freeze,
        Term,
        PgTerminate,
        RedisKill,
        Full,
        WrongType,
        PgCut,
        RedisFreeze,
        RedisDrop,
        Restore,
        Pause,
    ];
    clean(Plan { kinds, scale: Scale::SHORT, ..plan(20_261_121) }).await;
}

/// The same with groups that read what is trimmed, and a Redis that is nearly full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_run_that_trims_is_clean() {
    use Kind::{ConsumerKill, GroupLate, Kill, RedisCut, RedisKill};
    let kinds = vec![ConsumerKill, GroupLate, Kill, ConsumerKill, RedisKill, RedisCut];
    clean(Plan { kinds, scale: Scale::SHORT, maxmemory: 16 << 20, ..trimming(20_261_127) }).await;
}

/// The same over rows that stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_run_that_keeps_is_clean() {
    use Kind::{
        Kill, PgCrashAsync, PgCut, PgPitr, RedisDrop, RedisFailoverBehind, RedisFlush, Restore,
        Term, WrongType,
    };
    let kinds = vec![
        Restore,
        Kill,
        WrongType,
        RedisFlush,
        PgCrashAsync,
        PgCut,
        RedisDrop,
        RedisFailoverBehind,
        Term,
        PgPitr,
    ];
    clean(Plan { kinds, scale: Scale::SHORT, ..keeping(20_261_127) }).await;
}

/// What `make faults` runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes as long as it is told: make faults"]
async fn a_long_run_is_clean() {
    let number = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no number"))
        }
        Ok(_) | Err(_) => default,
    };
    let only = std::env::var("ONLY").unwrap_or_default();
    let only = only.split(',').filter(|name| !name.is_empty());
    let kinds: Vec<Kind> =
        only.map(|name| name.parse().unwrap_or_else(|error| panic!("ONLY: {error}"))).collect();
    let (seed, trims, keeps) = (number("SEED", 42), number("TRIM", 0) > 0, number("KEEP", 0) > 0);
    let plan = match (trims, keeps) {
        (false, false) => plan(seed),
        (true, false) => trimming(seed),
        (false, true) => keeping(seed),
        (true, true) => panic!("TRIM=1 and KEEP=1: a run has one of them"),
    };
    let fits = Kind::of(trims);
    if let Some(kind) = kinds.iter().find(|kind| !fits.contains(kind)) {
        panic!(
            "ONLY: {} is no fault of a run with TRIM={} KEEP={}",
            kind.name(),
            u8::from(trims),
            u8::from(keeps)
        );
    }
    clean(Plan {
        members: usize::try_from(number("MEMBERS", 3)).expect("few"),
        length: Duration::from_mins(number("MINUTES", 2)),
        kinds: if kinds.is_empty() { plan.kinds } else { kinds },
        ..plan
    })
    .await;
}
