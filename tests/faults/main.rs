//! The fault suite: the real binary in several processes, real servers, a proxy in between, and
//! everything that can go wrong with them, drawn by seed. Afterwards a checker reads the streams.
//!
//! `make faults` makes a long run: `SEED=42 MINUTES=30 MEMBERS=3 ONLY=freeze,pg-cut make faults`.

#![allow(clippy::disallowed_methods, reason = "their tasks end with their runtime")]

mod checker;
mod ddl;
mod deck;
mod harm;
mod ids;
mod kind;
mod mutants;
mod pause;
mod poison;
mod proxy;
mod restore;
mod run;
mod stage;
mod writers;

use std::time::Duration;

use harm::Scale;
use kind::Kind;
use run::{Plan, Run};
use writers::Load;

/// Everything a plan needs that is not said otherwise.
fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        members: 3,
        kinds: Kind::all().to_vec(),
        length: Duration::ZERO,
        scale: Scale::FULL,
        load: Load::steady(),
        recovery_max: Duration::from_mins(1),
        rewrites: Vec::new(),
        prelude: "",
    }
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
    let plan = plan(number("SEED", 42));
    clean(Plan {
        members: usize::try_from(number("MEMBERS", 3)).expect("few"),
        length: Duration::from_mins(number("MINUTES", 2)),
        kinds: if kinds.is_empty() { plan.kinds } else { kinds },
        ..plan
    })
    .await;
}
