//! The checker is worth something only if it notices a relay that is wrong. The same real binary,
//! with one part of the protocol taken out of what it says to its servers: the proxy replaces that
//! text. No production code knows of it. Each mutant must be reported, and the relay as it is must
//! be clean under the same faults.

use std::time::{Duration, Instant};

use fastrand::Rng;
use fred::util::sha1_hash;
use outflow_local::eventually;
use tokio::time::sleep;

use super::checker::Verdict;
use super::kept::Layout;
use super::kind::Kind;
use super::proxy::{Mode, Rewrite};
use super::restore::{Fate, restore};
use super::run::{Plan, Run, say};
use super::stage::{LIMIT, Stage, Way};
use super::writers::Load;
use super::{harm, plan};

/// A part that is taken out.
struct Mutant {
    name: &'static str,
    seed: u64,
    /// What is said instead of what; each must be met.
    rewrites: &'static [(&'static str, &'static str)],
    /// What these words need in Postgres.
    prelude: &'static str,
    load: Load,
    /// Bytes that Redis may use, if it is about trimming; 0: it is not.
    maxmemory: u64,
    /// How the table is made if its rows stay.
    keep: Option<Layout>,
    /// What the checker must find.
    found: fn(&Verdict) -> &Vec<String>,
}

/// Runs the mutant and the relay as it is under the same faults.
async fn caught(mutant: Mutant, faults: impl AsyncFn(&mut Run, bool)) {
    let one = async |mutated: bool| {
        let (rewrites, prelude): (&[_], _) =
            if mutated { (mutant.rewrites, mutant.prelude) } else { (&[], "") };
        let rewrites = replaced(rewrites, mutant.keep.is_some());
        let scale = harm::Scale::SHORT;
        let Mutant { load, maxmemory, keep, .. } = mutant;
        let mut plan =
            Plan { scale, load, rewrites, prelude, keep, maxmemory, ..plan(mutant.seed) };
        if mutated && keep.is_some() {
            // Nothing else than the streams says that a row is not coming.
            plan.recovery_max = Duration::from_secs(10);
        }
        let mut run = Run::start(plan).await;
        faults(&mut run, mutated).await;
        run.finish().await
    };
    let started = Instant::now();
    let (mutated, clean) =
        futures_util::future::join(Box::pin(one(true)), Box::pin(one(false))).await;
    let took = started.elapsed().as_secs_f64();
    assert!(clean.verdict.is_clean(), "as it is: {}\n{}", clean.summary, clean.verdict.told());
    assert!(mutated.mutated > 0, "{}: nothing was replaced", mutant.name);
    assert!(
        mutated.missed.is_empty(),
        "{}: the relay does not say {:?}",
        mutant.name,
        mutated.missed
    );
    let found = (mutant.found)(&mutated.verdict);
    assert!(!found.is_empty(), "not caught: {}\n{}", mutated.summary, mutated.verdict.told());
    say(&format!(
        "{}: caught in {took:.1} s, seed {}: {} such as {}",
        mutant.name,
        mutant.seed,
        found.len(),
        found[0]
    ));
}

/// In a script, the name that Redis knows it by is replaced with it.
fn replaced(rewrites: &[(&str, &str)], keeps: bool) -> Vec<Rewrite> {
    const UPKEEP: &str = include_str!("../../src/relay/sink/upkeep.lua");
    let append = if keeps {
        include_str!("../../src/relay/kept/keep_append.lua")
    } else {
        include_str!("../../src/relay/sink/append.lua")
    };
    let mut all: Vec<Rewrite> = rewrites.iter().map(|(from, to)| Rewrite::new(from, to)).collect();
    for script in [append, UPKEEP] {
        let mutated = rewrites.iter().fold(script.to_owned(), |script, (from, to)| {
            script.replace(from, &format!("{to:width$}", width = from.len()))
        });
        if mutated != script {
            all.push(Rewrite::new(&sha1_hash(script), &sha1_hash(&mutated)));
        }
    }
    all
}

/// Kills the first member when a server has not heard its last requests, which arrive when the
/// others have taken over.
async fn killed_while(run: &mut Run, unheard: impl Fn(&Stage, Mode)) {
    // All are at work by then.
    run.recovered().await;
    let (stage, first) = (&run.stage, &run.stage.members[0]);
    let mut program = first.program.lock().await;
    unheard(stage, Mode::FreezeRequests);
    // By then there is something to ask.
    sleep(Duration::from_secs(1)).await;
    program.kill();
    stage.shared_by(2).await;
    sleep(Duration::from_secs(1)).await;
    unheard(stage, Mode::Pass);
    stage.start_again(first, &mut program);
}

/// The first member's client sends some commands once more. The relay as it is meets the same
/// client.
async fn sent_twice(run: &mut Run) {
    run.recovered().await;
    let redis = &run.stage.to_redis;
    redis.set(0, Mode::Resend);
    let resent = async || redis.resent() >= 5;
    eventually(LIMIT, "commands that are sent twice", resent).await.expect("some");
    redis.set(0, Mode::Pass);
}

/// Every claim takes what it can: what a mutant does wrong is a matter of the rows that it holds.
fn steady() -> Load {
    Load { poison: 0.0, ..Load::steady() }
}

fn dense() -> Load {
    Load { pause_ms: 40, burst_pause_ms: 300, ..steady() }
}

/// What a member had sent before it was killed arrives when others have taken over from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_fence() {
    let mutant = Mutant {
        name: "without the fence",
        seed: 1,
        rewrites: &[(
            "local known = redis.pcall('HMGET', journal, 'generation', last_field)",
            "local known = {generation, previous}",
        )],
        prelude: "",
        load: dense(),
        maxmemory: 0,
        keep: None,
        found: |verdict| &verdict.doubled,
    };
    caught(mutant, async |run, _| {
        let redis = |stage: &Stage, mode| stage.to_redis.set(0, mode);
        killed_while(run, redis).await;
    })
    .await;
}

/// Nobody knows what a killed member had appended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_journal() {
    let mutant = Mutant {
        name: "without the journal",
        seed: 2,
        rewrites: &[(
            "'HSET', journal, last_field, batch, record, rows)",
            "'HSET', journal, last_field, batch)",
        )],
        prelude: "",
        load: dense(),
        maxmemory: 0,
        keep: None,
        found: |verdict| &verdict.doubled,
    };
    caught(mutant, async |run, _| {
        // Slow appends: there are always some batches that are claimed. They are appended, and
        // their commits unheard.
        run.stage.to_redis.set(0, Mode::Delay(Duration::from_millis(100)));
        sleep(Duration::from_millis(500)).await;
        let postgres = |stage: &Stage, mode| {
            stage.on_way_to_postgres(0, Way::Claims, mode);
            if mode == Mode::Pass {
                stage.to_redis.set(0, mode);
            }
        };
        killed_while(run, postgres).await;
    })
    .await;
}

/// A client that sends once more what has no answer. The script compares the number of the member's
/// last batch, so that the repeated command appends nothing: what protects from a client's retries
/// is that comparison, and it is what is taken out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_retries_of_the_client() {
    let mutant = Mutant {
        name: "with the client's retries",
        seed: 3,
        rewrites: &[("(known[2] or '0') ~= previous", "false")],
        prelude: "",
        load: dense(),
        maxmemory: 0,
        keep: None,
        found: |verdict| &verdict.doubled,
    };
    caught(mutant, async |run, _| sent_twice(run).await).await;
}

/// What a stream refused is settled as if it were there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_refusals_ignored() {
    let mutant = Mutant {
        name: "with refusals ignored",
        seed: 4,
        rewrites: &[
            ("answer[#answer + 1], answer[#answer + 2] = streams[name], added.err", ""),
            ("if #skipped == position then", "if false then"),
        ],
        prelude: "",
        load: dense(),
        maxmemory: 0,
        keep: None,
        found: |verdict| &verdict.lost,
    };
    caught(mutant, async |run, _| {
        // All are at work by then, or nobody appends to the stream while it refuses.
        run.recovered().await;
        let mut rng = Rng::with_seed(4);
        run.harm(Kind::WrongType, &mut rng).await;
    })
    .await;
}

/// The generation that a member entered, as a sequence for each, because what a sequence knows is
/// not rolled back.
const ENTERED: &str = "create schema mutant; \
    do $$ begin for n in 1..3 loop execute 'create sequence mutant.m' || n || ' minvalue 0'; end \
    loop; end $$; \
    create function mutant.entered() returns bigint language sql volatile as \
      'select pg_sequence_last_value((''mutant.'' || current_user)::regclass)'; \
    create function mutant.enters() returns trigger language plpgsql as \
      'begin perform setval((''mutant.'' || current_user)::regclass, new.generation); return new; \
      end'; \
    create trigger enters after update on outflow.outbox for each row when (new.generation > 0) \
    execute function mutant.enters(); \
    create function mutant.f(oid, out generation bigint, out slots integer[], out mapping text, \
    out unsettled text) language plpgsql as \
      'begin select o.generation, o.slots, o.mapping, o.unsettled into generation, slots, \
      mapping, unsettled from outflow.outbox o \
       where relation = $1 for update; \
       perform setval((''mutant.'' || current_user)::regclass, f.generation); end'";

/// A member that has not yet heard of a new share-out claims by the old one, and others overtake
/// the rows that it holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_generation_check() {
    let mutant = Mutant {
        name: "without the claim's generation check",
        seed: 5,
        rewrites: &[
            (
                include_str!("../../src/relay/outbox/sql/in_force.sql"),
                "select * from mutant.f($1::oid)",
            ),
            (
                "select generation, pg_current_snapshot()::text from outflow.outbox where \
                    relation = $1::oid",
                "select mutant.entered(), pg_current_snapshot()::text where $1::oid > 0",
            ),
            ("::oid) = $9::bigint", "::oid)>=0*$9::int8"),
        ],
        prelude: ENTERED,
        load: Load { keys: 40, pause_ms: 60, held: 0, burst_pause_ms: 100, burst: 1, ..steady() },
        maxmemory: 0,
        keep: None,
        found: |verdict| &verdict.disordered,
    };
    caught(mutant, async |run, mutated| {
        // What a round finds is a matter of milliseconds: the mutant has as many as it takes.
        for _ in 0..if mutated { 20 } else { 4 } {
            // Whoever is far behind holds rows of the slots that it keeps: those of the others were
            // taken long ago.
            run.recovered().await;
            let stage = &run.stage;
            let last = stage.members.last().expect("three");
            last.program.lock().await.kill();
            stage.shared_by(2).await;
            // The first is behind with its work, so that it goes on claiming, and does not hear of
            // the third: not before Redis refuses what it appends, and till then the rows that it
            // holds are overtaken.
            stage.to_redis.set(0, Mode::Delay(Duration::from_millis(100)));
            sleep(Duration::from_millis(500)).await;
            stage.on_way_to_postgres(0, Way::Control, Mode::Freeze);
            stage.start_again(last, &mut *last.program.lock().await);
            // On a busy machine the first may find out earlier: it misses the answer to its ping.
            tokio::select! {
                () = stage.shared_by(3) => {}
                () = stage.loses_control(0) => {}
            }
            sleep(Duration::from_millis(500)).await;
            stage.on_way_to_postgres(0, Way::Control, Mode::Pass);
            stage.to_redis.set(0, Mode::Pass);
            if mutated && !run.verdict().await.disordered.is_empty() {
                break;
            }
        }
    })
    .await;
}

/// Low numbers that are committed late are overtaken by the higher ones of their key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_watch_list() {
    let mutant = Mutant {
        name: "without the watch list",
        seed: 6,
        rewrites: &[
            ("pg_visible_in_snapshot(o.xid::xid8, pg_current_snapshot())", "false"),
            (
                "pg_snapshot_xmax(pg_current_snapshot()) > $7::text::xid8",
                "$7::text is null and false",
            ),
        ],
        prelude: "",
        load: Load { keys: 60, held: 30, held_ms: 300, pause_ms: 20, ..steady() },
        maxmemory: 0,
        keep: None,
        found: |verdict| &verdict.disordered,
    };
    caught(mutant, async |_, _| sleep(Duration::from_secs(5)).await).await;
}

/// Nobody who had the answers lives, and nobody reads what they wrote down: what went with Redis is
/// not noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_witness() {
    let mutant = Mutant {
        name: "without the witness",
        seed: 7,
        rewrites: &[("w.batch", "0::int8")],
        prelude: "",
        load: dense(),
        maxmemory: 0,
        keep: None,
        found: |verdict| &verdict.complaints,
    };
    caught(mutant, async |run, _| {
        restore(&run.stage, Kind::Restore, Fate::Killed, &mut Rng::with_seed(7)).await;
    })
    .await;
}

/// What is appended is not in the position: whoever recovers sends it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_position() {
    let mutant = Mutant {
        name: "without the position",
        seed: 9,
        rewrites: &[("kept_field, table.concat(state, '\\n')}", "'no_field', ''}")],
        prelude: "",
        load: dense(),
        maxmemory: 0,
        keep: Some(Layout::Ring),
        found: |verdict| &verdict.doubled,
    };
    caught(mutant, async |run, _| {
        run.recovered().await;
        let mut rng = Rng::with_seed(9);
        run.harm(Kind::Kill, &mut rng).await;
    })
    .await;
}

/// A client that sends once more what has no answer. Neither which installation of the pieces a
/// batch goes on from is compared, nor which batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_version_of_the_position() {
    let mutant = Mutant {
        name: "without the position's version",
        seed: 10,
        rewrites: &[("known[4] ~= ARGV[5]", "false"), ("(known[2] or '0') ~= previous", "false")],
        prelude: "",
        load: dense(),
        maxmemory: 0,
        keep: Some(Layout::Plain),
        found: |verdict| &verdict.doubled,
    };
    caught(mutant, async |run, _| sent_twice(run).await).await;
}

/// A position that is an id, not a snapshot: rows with lower ids that are committed later are
/// passed by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_snapshot() {
    let mutant = Mutant {
        name: "without the snapshot",
        seed: 11,
        rewrites: &[
            ("c.\"id\" > $3 and c.\"id\" <= $4", "c.\"id\" > $3 and false"),
            ("where $3 < $4 and", "where false and"),
            ("not pg_visible_in_snapshot(t.\"xid\", (select s from seen))", "true"),
        ],
        prelude: "",
        load: Load { keys: 60, held: 30, held_ms: 300, pause_ms: 20, ..steady() },
        maxmemory: 0,
        keep: Some(Layout::Plain),
        found: |verdict| &verdict.lost,
    };
    caught(mutant, async |_, _| sleep(Duration::from_secs(5)).await).await;
}
