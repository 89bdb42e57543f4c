//! Three order-consumers, killed, frozen, stopped and started at random, with second processes
//! under their names and a Postgres that is frozen, drops its sessions and fails: every effect
//! once, each key in order, nothing left.
//!
//! A short run is part of the tests; `make consumer-faults` runs ten minutes over 100,000 entries.
//! The seed is printed and can be given again (`CONSUMER_FAULTS_SEED`), though the machine's timing
//! is not repeated with it.

use std::collections::HashSet;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use outflow_connect::redis::Args;
use outflow_local::{Signal, eventually};
use serde_json::json;
use uuid::Uuid;

use super::hangs::Frozen;
use super::{Consumer, LIMIT, STREAM, Scene, about, session};

const NAMES: [&str; 3] = ["one", "two", "three"];
const KEYS: usize = 60;
/// Every so many entries one is poison.
const POISON_EVERY: u64 = 97;
/// Every so many entries one is large.
const LARGE_EVERY: u64 = 401;
const LARGE: usize = 600_000;
/// Entries appended in one command line.
const CHUNK: u64 = 20;

/// Notes each effect in the order of the effects, and whether the one before it, of the same key,
/// was committed by then. Every fiftieth attempt fails for a reason of its own, and some because of
/// what the server could not do.
const JOURNAL: &str = "
    create table numbered (event_id uuid primary key, key text not null, n int not null, unique \
    (key, n));
    create table effects (event_id uuid not null, key text not null, n int not null, in_order \
    boolean not null);
    create index on effects (key, n);
    create function journal() returns trigger language plpgsql as $$ begin
      if random() < 0.02 then raise exception 'bad luck'; end if;
      if random() < 0.005 then raise exception 'as if it took too long' using errcode = '57014'; \
      end if;
      if random() < 0.002 then raise exception 'as if the disk was full' using errcode = '53100'; \
      end if;
      insert into effects
      select e.event_id, e.key, e.n, e.n = 1 or exists (select from effects p where p.key = e.key \
      and p.n = e.n - 1)
      from numbered e where e.event_id = new.event_id;
      return new;
    end $$;
    create trigger journal after insert on orders.inbox for each row execute function journal();";

struct Plan {
    seed: u64,
    seconds: u64,
    entries: u64,
}

impl Plan {
    fn from_environment() -> Self {
        let number =
            |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
        Self {
            seed: number("CONSUMER_FAULTS_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000)),
            seconds: number("CONSUMER_FAULTS_SECONDS").unwrap_or(10),
            entries: number("CONSUMER_FAULTS_ENTRIES").unwrap_or(4_000),
        }
    }
}

/// What was done to the consumers.
#[derive(Debug, Default)]
struct Faults {
    killed: u32,
    frozen: u32,
    stopped: u32,
    locked: u32,
    /// Second processes under a name.
    doubled: u32,
    /// Times that Postgres ended all sessions, and that it was frozen.
    cut: u32,
    stalled: u32,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} killed, {} frozen, {} stopped, {} locks, ",
            self.killed, self.frozen, self.stopped, self.locked
        )?;
        write!(f, "{} doubles, {} cuts, {} stalls", self.doubled, self.cut, self.stalled)
    }
}

#[expect(clippy::print_stdout, reason = "the summary of a run, and the seed to repeat it with")]
#[tokio::test(flavor = "multi_thread")]
async fn effects_are_made_once_and_in_order_whatever_happens_to_the_consumers() {
    let plan = Plan::from_environment();
    println!("consumer faults: seed {}, {} s, {} entries", plan.seed, plan.seconds, plan.entries);
    let started = Instant::now();
    let scene = Scene::new().await;
    let mut consumers = vec![start(&scene, NAMES[0])];
    consumers[0].until_ready().await;
    scene.db.batch_execute(JOURNAL).await.expect("the journal");
    consumers.extend(NAMES[1..].iter().map(|name| start(&scene, name)));

    let (poison, faults) =
        tokio::join!(produce(&scene, &plan), torment(&scene, &mut consumers, &plan));
    let done = async || scene.pending().await == 0 && unread(&scene).await == 0;
    let limit = LIMIT * 3 + Duration::from_secs(plan.seconds / 4);
    let waited = eventually(limit, "everything to be handled", done).await;
    if let Err(error) = waited {
        let mut causes = Vec::new();
        for consumer in &consumers {
            causes.push((consumer.get("/readyz").await, consumer.program.log_tail()));
        }
        panic!(
            "{error}: {} pending, {} unread; {faults}; {causes:#?}",
            scene.pending().await,
            unread(&scene).await
        );
    }

    let row = scene.db.query_one(
        "select (select count(*) from numbered), count(*), count(distinct event_id), count(*) \
            filter (where not in_order) from effects",
        &[],
    );
    let row = row.await.expect("counts");
    let [expected, effects, distinct, out_of_order]: [i64; 4] =
        std::array::from_fn(|column| row.get(column));
    let reserved: Option<i64> = scene
        .db
        .query_one("select sum(reserved)::bigint from orders.inventory", &[])
        .await
        .expect("a sum")
        .get(0);
    let dead = scene.dead().await;
    let letters: HashSet<String> =
        dead.iter().map(|fields| about(fields, "dead_entry_id")).collect();
    println!(
        "consumer faults: seed {}: {} entries in {:.0?}, {faults}: {} lost, {} doubled, \
            {out_of_order} out of order, {} of {} poison dead-lettered",
        plan.seed,
        plan.entries,
        started.elapsed(),
        expected - distinct,
        effects - distinct,
        letters.len(),
        poison.len(),
    );
    let keys = scene.db.query_one(
        "select coalesce(string_agg(key || ':' || n, ' '), '') from effects where not in_order",
        &[],
    );
    let keys: String = keys.await.expect("keys").get(0);
    assert_eq!((effects, distinct, out_of_order), (expected, expected, 0), "{keys}");
    assert_eq!(reserved, Some(expected), "each reserved one");
    assert_eq!((letters, dead.len()), (poison.iter().cloned().collect(), poison.len()));
    assert_eq!(
        scene.call("HLEN", &["events.order.inventory.keys"]).await.int(),
        Some(0),
        "no key is kept"
    );
    assert!(faults.killed + faults.frozen + faults.stopped > 0);
    for consumer in consumers {
        consumer.stop().await;
    }
}

fn start(scene: &Scene, name: &str) -> Consumer {
    // More than anybody has bad luck. Kills spread over all that is in hand.
    let limits = ["--attempts-max", "12", "--workers", "8", "--prefetch-bytes", "4MiB"];
    scene.start(name, &[&["--claim-idle", "1s"], &limits[..]].concat())
}

async fn unread(scene: &Scene) -> i64 {
    let groups = scene.call("XINFO", &["GROUPS", STREAM]).await;
    let about = groups.items()[0].items().to_vec();
    let at = about
        .iter()
        .position(|name| name.text().is_some_and(|name| &name[..] == b"lag"))
        .expect("the lag");
    // Not known: something was deleted, and nobody has set the counter right yet.
    about[at + 1].int().unwrap_or(-1)
}

/// Appends entries over four fifths of the time; returns the ids of the poisonous ones.
async fn produce(scene: &Scene, plan: &Plan) -> Vec<String> {
    let db = session(&scene.postgres).await;
    let note = db
        .prepare("insert into numbered select * from unnest($1::uuid[], $2::text[], $3::int[])")
        .await;
    let note = note.expect("a statement");
    let (mut random, mut counters, mut poison) =
        (fastrand::Rng::with_seed(plan.seed), vec![0_i32; KEYS], Vec::new());
    let chunks = plan.entries.div_ceil(CHUNK);
    let mut pace = tokio::time::interval(
        Duration::from_millis(plan.seconds * 800 / chunks).max(Duration::from_millis(1)),
    );
    for chunk in 0..chunks {
        pace.tick().await;
        let mut rows: (Vec<Uuid>, Vec<String>, Vec<i32>) = Default::default();
        let mut entries = Vec::new();
        for number in chunk * CHUNK..((chunk + 1) * CHUNK).min(plan.entries) {
            // A few keys have much of it.
            let key = if random.bool() { random.usize(..KEYS) } else { random.usize(..3) };
            let event_id = Uuid::now_v7();
            let deadly = number % POISON_EVERY == POISON_EVERY - 1;
            if !deadly {
                counters[key] += 1;
                rows.0.push(event_id);
                rows.1.push(format!("k{key}"));
                rows.2.push(counters[key]);
            }
            let pad = if number % LARGE_EVERY == LARGE_EVERY - 1 { LARGE } else { 1 };
            entries.push((event_id, format!("k{key}"), deadly, pad));
        }
        db.execute(&note, &[&rows.0, &rows.1, &rows.2]).await.expect("rows");
        for (event_id, key, deadly, pad) in entries {
            let mut args = entry(event_id, &key, deadly, pad);
            if deadly && random.bool() {
                args = no_text(event_id);
            }
            let id = scene.client.call("XADD", args).await.expect("an entry");
            if deadly {
                poison.push(super::text(&id));
            }
        }
        if random.u8(..20) == 0 {
            // Deleted before it is read, or while it is pending.
            let id = scene.add(&["id", "1", "type", "Other", "key", "k0", "payload", ""]).await;
            scene.call("XDEL", &[STREAM, &id]).await;
        }
    }
    // One that is left frees the key again, at once.
    scene.add(&["id", "1", "type", "Other", "key", "k0", "payload", ""]).await;
    poison
}

fn entry(event_id: Uuid, key: &str, deadly: bool, pad: usize) -> Args {
    let items = json!([{ "sku": key, "quantity": 1, "unit_price": "1.00" }]);
    let payload = json!({
        "event_id": event_id, "event_type": "OrderCreated", "aggregate_id": key,
        "occurred_at": "2026-01-02T03:04:05Z",
        "order_id": event_id, "customer_id": "c".repeat(pad), "total_amount": "1.00",
        "currency": "EUR", "items": items,
    });
    let payload = if deadly { "{\"half".to_owned() } else { payload.to_string() };
    let id = event_id.to_string();
    [
        STREAM,
        "*",
        "id",
        &id,
        "type",
        "OrderCreated",
        "key",
        key,
        "time",
        "2026-01-02T03:04:05Z",
        "payload",
        &payload,
    ]
    .into()
}

/// Poison of another kind: its key is no text.
fn no_text(event_id: Uuid) -> Args {
    let id = event_id.to_string();
    let mut args =
        Args::from([STREAM, "*", "id", &id, "type", "OrderCreated", "payload", "{}", "key"]);
    args.push(Bytes::from([&[0xff][..], event_id.as_bytes()].concat()));
    args
}

/// Kills, freezes and stops consumers, doubles them, and plagues Postgres, until the time is over;
/// all of them run at the end.
async fn torment(scene: &Scene, consumers: &mut [Consumer], plan: &Plan) -> Faults {
    let (mut random, mut faults) = (fastrand::Rng::with_seed(plan.seed), Faults::default());
    // Drawn pauses, not a wait for anything: this is the load.
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    let mut frozen: [Option<u32>; NAMES.len()] = [None; NAMES.len()];
    // Somebody who holds up everything, so that those who are killed have much in hand.
    let (holder, mut locked) = (session(&scene.postgres).await, None::<u32>);
    let (mut doubles, mut stall) = (Vec::new(), None::<(Frozen, u32)>);
    for _ in 0..plan.seconds * 10 {
        clock.tick().await;
        for (left, consumer) in frozen.iter_mut().zip(consumers.iter_mut()) {
            match left {
                Some(0) => {
                    consumer.program.signal(Signal::SIGCONT);
                    *left = None;
                }
                Some(left) => *left -= 1,
                None => {}
            }
        }
        // A frozen backend may hold a lock of the server itself, as for the log. A statement of
        // ours would wait for it, and nobody would end the stall.
        stall = stall.and_then(|(frozen, left)| Some((frozen, left.checked_sub(1)?)));
        match &mut locked {
            _ if stall.is_some() => {}
            Some(0) => {
                holder.batch_execute("commit").await.expect("an unlock");
                locked = None;
            }
            Some(left) => *left -= 1,
            None if random.u8(..40) == 0 => {
                holder
                    .batch_execute("begin; select from orders.inventory for update skip locked")
                    .await
                    .expect("a lock");
                locked = Some(random.u32(2..20));
                faults.locked += 1;
            }
            None => {}
        }
        if random.u8(..8) > 0 {
            continue;
        }
        let victim = random.usize(..NAMES.len());
        if frozen[victim].is_some() {
            continue;
        }
        match random.u8(..12) {
            0..=2 => {
                consumers[victim].program.kill();
                consumers[victim] = start(scene, NAMES[victim]);
                faults.killed += 1;
            }
            3..=5 => {
                // Up to four times as long as it takes the others to take over.
                frozen[victim] = Some(random.u32(2..40));
                consumers[victim].program.signal(Signal::SIGSTOP);
                faults.frozen += 1;
            }
            6 | 7 if doubles.len() < 2 => {
                // It stands by; when the other one is frozen for long, or killed, it takes the name
                // over.
                doubles.push(start(scene, NAMES[victim]));
                faults.doubled += 1;
            }
            6 | 7 => drop(doubles.remove(0)),
            8 if stall.is_none() => {
                let cut = "select pg_terminate_backend(pid) from pg_stat_activity where \
                    application_name = 'order-consumer'";
                holder.execute(cut, &[]).await.expect("sessions that end");
                faults.cut += 1;
            }
            9 if stall.is_none() => {
                stall = Some((Frozen::postgres(scene).await, random.u32(2..30)));
                faults.stalled += 1;
            }
            _ => {
                stall = None;
                // While we wait for its end, nobody would wake the frozen ones, and it may wait for
                // a lock of theirs.
                for (left, consumer) in frozen.iter_mut().zip(consumers.iter_mut()) {
                    consumer.program.signal(Signal::SIGCONT);
                    *left = None;
                }
                consumers[victim].program.terminate();
                let status = consumers[victim].program.wait(LIMIT).await.expect("its end");
                // One that has just been started may not have got as far as to handle signals.
                let early = status.signal() == Some(15);
                assert!(
                    status.success() || early,
                    "{status}: {}",
                    consumers[victim].program.log_tail()
                );
                consumers[victim] = start(scene, NAMES[victim]);
                faults.stopped += 1;
            }
        }
    }
    drop((stall, doubles));
    holder.batch_execute("rollback").await.expect("no lock");
    for consumer in consumers {
        consumer.program.signal(Signal::SIGCONT);
    }
    faults
}
