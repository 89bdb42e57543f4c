//! A run: members and writers at work, rounds of faults with a measured recovery after each, and
//! the checker at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use fastrand::Rng;
use outflow_connect::redis::Args;
use outflow_local::eventually;

use super::checker::{Verdict, check, check_handled};
use super::deck::Deck;
use super::harm::{Scale, harm, healed};
use super::kept::{HEALED, Layout, Marks, left};
use super::kind::Kind;
use super::pitr;
use super::proxy::Rewrite;
use super::restore::{TOLD, losses};
use super::stage::{LIMIT, Stage};
use super::trimming;
use super::writers::{Load, Writers};

/// Faults under way at once.
const LANES: usize = 2;
/// Faults of a lane between two measured recoveries.
const FAULTS_MAX: usize = 3;

/// What a run does.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) members: usize,
    pub(crate) kinds: Vec<Kind>,
    /// No deck begins later than this.
    pub(crate) length: Duration,
    pub(crate) scale: Scale,
    pub(crate) load: Load,
    /// Everything must be delivered so soon after the last fault.
    pub(crate) recovery_max: Duration,
    pub(crate) rewrites: Vec<Rewrite>,
    /// Statements to run before the members start.
    pub(crate) prelude: &'static str,
    /// How the table is made if its rows stay.
    pub(crate) keep: Option<Layout>,
    /// Bytes that Redis may use; the relay trims what groups read. 0: no limit, and no trimming.
    pub(crate) maxmemory: u64,
}

/// A run under way.
pub(crate) struct Run {
    pub(crate) stage: Stage,
    plan: Plan,
    writers: Writers,
    started: Instant,
    counts: BTreeMap<Kind, u32>,
    slowest: Duration,
    complaints: Vec<String>,
}

/// How it ended.
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// One line.
    pub(crate) summary: String,
    /// How many pieces of text the proxies replaced, and how many commands they sent once more.
    pub(crate) mutated: u64,
    /// Texts that were to be replaced and never came by.
    pub(crate) missed: Vec<String>,
}

/// Prints a line; the tests show it when they fail or are asked to.
#[expect(clippy::print_stdout, reason = "what the suite says is its output")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

impl Run {
    pub(crate) async fn start(plan: Plan) -> Self {
        let stage = Stage::start(&plan).await;
        let writers = Writers::start(&stage, plan.load, plan.seed).await;
        trimming::begin(&stage).await;
        stage.shared_by(i64::try_from(plan.members).expect("few")).await;
        let run = Self {
            stage,
            plan,
            writers,
            started: Instant::now(),
            counts: BTreeMap::new(),
            slowest: Duration::ZERO,
            complaints: Vec::new(),
        };
        run.tell(&format!(
            "seed {}, {} members, files in {}",
            run.plan.seed,
            run.plan.members,
            run.stage.path().display()
        ));
        run
    }

    fn tell(&self, line: &str) {
        tell(self.started, line);
    }

    /// Rounds of faults until the time is over, one deck at least.
    pub(crate) async fn rounds(&mut self) {
        let mut deck = Deck::new(&self.plan.kinds, self.plan.seed);
        loop {
            let mut lanes = vec![Vec::new(); LANES];
            for at in 0..LANES * FAULTS_MAX {
                if at > 0 && deck.is_dealt() {
                    break;
                }
                lanes[at % LANES].push(deck.draw());
            }
            let (stage, started, scale) = (&self.stage, self.started, self.plan.scale);
            let lane = async |hand: Vec<(Kind, u64)>| {
                for (kind, seed) in hand {
                    let mut rng = Rng::with_seed(seed);
                    tokio::time::sleep(Duration::from_millis(rng.u64(0..1_500))).await;
                    tell(started, &format!("{} …", kind.name()));
                    let what = harm(stage, kind, scale, &mut rng).await;
                    tell(started, &format!("{}: {what}", kind.name()));
                }
            };
            for (kind, _) in lanes.iter().flatten() {
                *self.counts.entry(*kind).or_default() += 1;
            }
            futures_util::future::join_all(lanes.into_iter().map(lane)).await;
            self.recovered().await;
            // The last deck is dealt to its end, so that every kind comes up equally often.
            let over = deck.is_dealt() && self.started.elapsed() >= self.plan.length;
            if over || !self.complaints.is_empty() {
                return;
            }
        }
    }

    /// One fault, told and counted.
    pub(crate) async fn harm(&mut self, kind: Kind, rng: &mut Rng) {
        let what = harm(&self.stage, kind, self.plan.scale, rng).await;
        self.tell(&format!("{}: {what}", kind.name()));
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Measures how long it takes until an event of every key, inserted now, has left the outbox
    /// with all before it.
    pub(crate) async fn recovered(&mut self) {
        if let Err(complaint) = healed(&self.stage).await {
            self.complaints.push(complaint);
            return;
        }
        let begun = Instant::now();
        let stage = &self.stage;
        let _hurry = trimming::hurry(stage);
        let marks = Marks::insert(stage).await;
        let emptied =
            eventually(self.plan.recovery_max, "", async || marks.left(stage).await == 0).await;
        let took = begun.elapsed();
        self.slowest = self.slowest.max(took);
        if emptied.is_err() {
            let left = marks.left(stage).await;
            self.complaints
                .push(format!("not recovered after {took:.1?}: {left} events are not delivered"));
        }
        let delivered = stage.number("select count(*) from ledger").await;
        self.tell(&format!("recovered in {:.1} s; {delivered} events so far", took.as_secs_f64()));
    }

    /// What the checker says of what has been delivered so far; the rest counts as lost.
    pub(crate) async fn verdict(&self) -> Verdict {
        verdict(&self.stage).await
    }

    /// Stops the writers, lets the members finish, and reads everything. The files of a run that
    /// was not clean stay.
    pub(crate) async fn finish(mut self) -> Outcome {
        self.recovered().await;
        let Self { stage, plan, writers, started, counts, slowest, mut complaints } = self;
        writers.stop().await;
        let hurry = trimming::hurry(&stage);
        let emptied =
            eventually(plan.recovery_max, "", async || left(&stage).await == Some(0)).await;
        if emptied.is_err() {
            complaints.push(match left(&stage).await {
                Some(left) => format!("{left} events are not delivered"),
                None => "a server does not say how many events are not delivered".to_owned(),
            });
        }
        let trimmed = trimming::finish(&stage, &mut complaints).await;
        drop(hurry);
        let words = if plan.keep.is_some() { HEALED } else { TOLD };
        let (mut told, backs) = (Vec::new(), stage.backs());
        for member in &stage.members {
            let mut program = member.program.lock().await;
            program.terminate();
            match program.wait(LIMIT).await {
                Ok(status) if status.success() => {}
                ended => complaints.push(format!("{} did not end well: {ended:?}", member.name)),
            }
            let log = program.log();
            told.extend(
                log.lines()
                    .filter(|line| line.contains(words))
                    .map(|line| format!("{} says: {line}", member.name)),
            );
            // That Postgres went back is told if it did, and only then.
            let is_strange =
                |line: &&str| line.contains("panicked") || backs.is_empty() && pitr::told(line) > 0;
            for line in log.lines().filter(is_strange) {
                complaints.push(format!("{} says: {line}", member.name));
            }
        }
        let (gone, count) = losses(&stage, |losses| {
            complaints.append(&mut losses.complaints);
            (losses.events.len(), losses.count)
        });
        // A recovery of kept rows that fails behind the words says them again.
        let is_told = if plan.keep.is_some() { told.len() >= count } else { told.len() == count };
        if !is_told {
            complaints.push(format!(
                "{count} losses of Redis were told {} times: {}",
                told.len(),
                told.join("; ")
            ));
        }
        complaints.extend(journal(&stage).await);
        let mut verdict = verdict(&stage).await;
        verdict.complaints = complaints;
        let length = started.elapsed();
        let kept = plan.keep.map_or_else(String::new, |layout| {
            format!("{} layout, {} times healed, ", layout.name(), told.len())
        });
        let mut summary = format!(
            "faults: seed {}, {:.1} min, {} members, {} events, {} dead, {gone} gone with Redis, \
                {}, {kept}{}{trimmed}slowest recovery {:.1} s; ",
            plan.seed,
            length.as_secs_f64() / 60.0,
            plan.members,
            verdict.events,
            verdict.dead,
            verdict.counts(),
            verdict.excused(),
            slowest.as_secs_f64(),
        );
        for (at, (kind, count)) in counts.iter().enumerate() {
            let _ = write!(summary, "{}{} {count}", if at > 0 { ", " } else { "" }, kind.name());
        }
        let replaced: Vec<u64> = stage
            .to_postgres
            .rewritten()
            .zip(stage.to_redis.rewritten())
            .map(|(one, other)| one + other)
            .collect();
        let mutated = replaced.iter().sum::<u64>() + stage.to_redis.resent();
        let missed = plan.rewrites.iter().zip(&replaced).filter(|(_, count)| **count == 0);
        let missed = missed.map(|(rewrite, _)| rewrite.from().into_owned()).collect();
        say(&summary);
        // A mutant is meant to fail: what it leaves behind is of no use.
        let failed = !verdict.is_clean() && plan.rewrites.is_empty() && mutated == 0;
        if failed {
            say(&verdict.told());
        }
        if failed || std::env::var_os("FILES").is_some() {
            let report = format!("{summary}\n{}", verdict.told());
            std::fs::write(stage.path().join("report.txt"), report).expect("a report");
            say(&format!("logs and report.txt are in {}", stage.keep().display()));
        }
        Outcome { verdict, summary, mutated, missed }
    }
}

fn tell(started: Instant, line: &str) {
    say(&format!("{:7.1} s  {line}", started.elapsed().as_secs_f64()));
}

async fn verdict(stage: &Stage) -> Verdict {
    let redis = stage.redis_client();
    redis.ready(LIMIT).await.expect("a connection");
    let client = stage.client().await.expect("a connection");
    if let Some((readers, _)) = stage.trimmed() {
        return check_handled(&client, readers.handled()).await;
    }
    let gone = losses(stage, |losses| losses.events.clone());
    check(&client, &redis, &gone, stage.flushed(), &stage.backs()).await
}

/// After a clean end the journals hold no batch.
async fn journal(stage: &Stage) -> Vec<String> {
    let redis = stage.redis_client();
    redis.ready(LIMIT).await.expect("a connection");
    let keys = redis.call("KEYS", Args::from(["outflow:journal:*"])).await.expect("keys");
    let mut left = Vec::new();
    for key in keys.items() {
        let mut args = Args::default();
        args.push(key.text().expect("a key").clone());
        for field in redis.call("HKEYS", args).await.expect("fields").items() {
            let field = String::from_utf8_lossy(field.text().expect("a field")).into_owned();
            if field.starts_with("batch:") {
                left.push(format!("the journal still holds {field}"));
            }
        }
    }
    left
}
