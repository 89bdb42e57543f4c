//! Redis comes back in an older state. Which events went with it is known to the row: the checker
//! expects exactly those to be missing, and the members to tell of it once. If the rows stay,
//! nothing may be missing: the members send again what has gone.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_util::future::join_all;
use outflow_local::{Program, eventually};
use tokio::sync::MutexGuard;
use tokio::time::sleep;
use uuid::Uuid;

use super::checker::missing;
use super::kept::{HEALED, Marks, copied};
use super::kind::Kind;
use super::older::Older;
use super::proxy::Mode;
use super::stage::{LIMIT, Stage};

/// What a member says of it.
pub(crate) const TOLD: &str = "Redis lost data";
/// A line of a log is written beside the work.
const LOG_LIMIT: Duration = Duration::from_secs(5);

/// What became of the members when a server went back in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Killed,
    Stopped,
    OneKilled,
    Alive,
}

impl Fate {
    pub(crate) const ALL: [Self; 4] = [Self::Killed, Self::Stopped, Self::OneKilled, Self::Alive];
}

/// What went with Redis so far.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    pub(crate) events: HashSet<Uuid>,
    /// How often the members must have told of one.
    pub(crate) count: usize,
    pub(crate) complaints: Vec<String>,
}

/// No other fault may be under way: what is missing must be the older state's doing alone.
pub(crate) async fn restore(stage: &Stage, kind: Kind, fate: Fate, rng: &mut Rng) -> String {
    let keeps = stage.layout().is_some();
    let older = Older::keep(stage, kind, rng).await;
    let begun = Instant::now();
    Marks::insert(stage).await.delivered(stage).await;
    sleep(Duration::from_millis(rng.u64(0..2_000))).await;
    // What a member had no time to write down before it was killed need not be missed.
    if keeps {
        copied(stage).await;
    } else {
        witnessed(stage).await;
    }

    let (mut programs, gone) = strike(stage, fate).await;
    let age = begun.elapsed();
    let ways = 0..stage.members.len();
    ways.clone().for_each(|way| stage.to_redis.set(way, Mode::Cut));
    commits_end(stage).await;
    let generation = generation(stage).await;
    let before = if keeps { HashSet::new() } else { missing_now(stage).await };
    let what = older.bring_back(stage).await;
    let lost = if keeps {
        losses(stage, |losses| losses.count += 1);
        0
    } else {
        note(stage, &before, missing_now(stage).await)
    };
    ways.for_each(|way| stage.to_redis.set(way, Mode::Pass));
    for (member, program) in stage.members.iter().zip(&mut programs).take(gone) {
        stage.start_again(member, program);
    }
    let raised =
        eventually(LIMIT, "a recovery", async || self::generation(stage).await > generation);
    raised.await.expect("a recovery");
    stage.shared_by(i64::try_from(stage.members.len()).expect("few")).await;
    is_told(stage, &programs, &format!("{lost} events went with Redis ({fate:?})")).await;
    format!("{fate:?}, {what} of {:.1} s ago: {lost} events are gone", age.as_secs_f64())
}

/// What becomes of the members: so many of them, the first ones, have ended.
pub(crate) async fn strike(stage: &Stage, fate: Fate) -> (Vec<MutexGuard<'_, Program>>, usize) {
    let mut programs = join_all(stage.members.iter().map(|member| member.program.lock())).await;
    let gone = match fate {
        Fate::Killed | Fate::Stopped => programs.len(),
        Fate::OneKilled => 1,
        Fate::Alive => 0,
    };
    for program in &mut programs[..gone] {
        if fate == Fate::Stopped { program.terminate() } else { program.kill() }
    }
    for program in &mut programs[..gone] {
        program.wait(LIMIT).await.expect("its end");
    }
    (programs, gone)
}

/// Whoever recovers first tells it, and notes that in Postgres: the others find the note.
async fn is_told(stage: &Stage, programs: &[MutexGuard<'_, Program>], what: &str) {
    let expected = losses(stage, |losses| losses.count);
    let keeps = stage.layout().is_some();
    let words = if keeps { HEALED } else { TOLD };
    let told =
        || programs.iter().map(|program| program.log().matches(words).count()).sum::<usize>();
    // A recovery that fails behind the words says them again.
    let is_told = || if keeps { told() >= expected } else { told() == expected };
    if eventually(LOG_LIMIT, "", async || is_told()).await.is_err() {
        let complaint = format!("{what}, and by then {expected} losses were told {} times", told());
        losses(stage, |losses| losses.complaints.push(complaint));
    }
}

async fn generation(stage: &Stage) -> i64 {
    stage.number("select generation from outflow.outbox").await
}

/// Each member of this generation has written down what it had appended.
async fn witnessed(stage: &Stage) {
    let journal =
        stage.command("KEYS", &["outflow:journal:*"]).await.expect("keys").items()[0].string();
    let fields = stage.command("HGETALL", &[&journal.expect("a key")]).await.expect("a journal");
    let now = generation(stage).await;
    for pair in fields.items().chunks_exact(2) {
        let (field, batch) =
            (pair[0].string().expect("a field"), pair[1].string().expect("a number"));
        let Some(member) = field.strip_prefix(&format!("last:{now}:")) else { continue };
        let known = format!(
            "select count(*) from outflow.outbox o where generation > {now} or exists (select \
                from outflow.witness w \
             where w.journal = o.journal and w.generation = {now} and w.member = {member} and \
             w.batch >= {batch})"
        );
        let what = format!("batch {batch} of member {member} to be written down");
        eventually(LIMIT, &what, async || stage.number(&known).await == 1)
            .await
            .expect("a witness");
    }
}

/// Nothing is appended any more: what is settled after this is settled.
async fn commits_end(stage: &Stage) {
    let now = stage.number("select extract(epoch from clock_timestamp()) * 1000000").await;
    let names: Vec<String> =
        stage.members.iter().map(|member| format!("'{}'", member.name)).collect();
    let open = format!(
        "select count(*) from pg_stat_activity where usename in ({}) and xact_start <= \
            to_timestamp({now} / 1e6)",
        names.join(", ")
    );
    eventually(LIMIT, "the commits", async || stage.number(&open).await == 0)
        .await
        .expect("their end");
}

async fn missing_now(stage: &Stage) -> HashSet<Uuid> {
    let redis = stage.redis_client();
    redis.ready(LIMIT).await.expect("a connection");
    let missing = missing(&stage.client().await.expect("a connection"), &redis).await;
    redis.close().await;
    missing
}

/// Returns how many events are gone with the copy.
fn note(stage: &Stage, before: &HashSet<Uuid>, after: HashSet<Uuid>) -> usize {
    losses(stage, |losses| {
        for event in before.difference(&losses.events) {
            losses
                .complaints
                .push(format!("event {event} was missing before anything was taken away"));
        }
        let lost = after.difference(before).count();
        losses.events.extend(after);
        losses.count += 1;
        lost
    })
}

/// What is known of them, at the moment.
pub(crate) fn losses<T>(stage: &Stage, read: impl FnOnce(&mut Losses) -> T) -> T {
    read(&mut stage.losses.lock())
}
