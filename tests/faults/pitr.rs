//! Postgres goes back in time: it is recovered to an earlier point from a base backup and its log.
//! What was committed after that point is forgotten. What it does not know as delivered comes
//! again; which events may is known to the row.

use std::collections::HashSet;

use fastrand::Rng;
use outflow_local::eventually;
use tokio::time::{Duration, sleep};
use tokio_postgres::Client;
use uuid::Uuid;

use super::checker::page;
use super::kept::{Marks, POSTGRES_WENT_BACK, streams};
use super::proxy::Mode;
use super::restore::{Fate, losses, strike};
use super::stage::{LIMIT, Stage, Way};

/// A member's copy of its position may be so much older than the moment at which it was written.
const COPY_AGE_MS: u64 = 2_000;

/// What went, and what may come again.
#[derive(Debug, Clone)]
pub(crate) struct Back {
    /// When, by the clock that the ids of entries have, in ms.
    at: u64,
    /// What Postgres had committed and does not know any more: entries of it may be there.
    forgotten: HashSet<Uuid>,
    /// What it does not know as delivered any more.
    undelivered: HashSet<Uuid>,
}

impl Back {
    pub(crate) fn has_forgotten(&self, event: &Uuid) -> bool {
        self.forgotten.contains(event)
    }

    /// Whether an event may have one entry from before and one from after, by their times.
    pub(crate) fn excuses(&self, event: &Uuid, before: u64, after: u64) -> bool {
        before < self.at && self.at <= after && self.undelivered.contains(event)
    }
}

/// No other fault may be under way.
pub(crate) async fn go_back(stage: &Stage, fate: Fate, rng: &mut Rng) -> String {
    let base = stage.path().join("base");
    stage.postgres.lock().await.base_backup(&base).await.expect("a base backup");
    Marks::insert(stage).await.delivered(stage).await;
    sleep(Duration::from_millis(rng.u64(0..2_000))).await;
    let since = copied_since(stage).await;
    let point = format!("faults-{}", stage.backs().len());
    stage.number(&format!("select 1 from pg_create_restore_point('{point}')")).await;
    Marks::insert(stage).await.delivered(stage).await;
    sleep(Duration::from_millis(rng.u64(0..2_000))).await;

    let (mut programs, gone) = strike(stage, fate).await;
    // Nobody commits an event any more, so that the last ones are known.
    let held = stage.client().await.expect("a connection");
    held.batch_execute("begin; lock table counter in exclusive mode").await.expect("a lock");
    let before = ledger(&held).await;
    for member in 0..stage.members.len() {
        stage.on_way_to_postgres(member, Way::All, Mode::Cut);
        stage.to_redis.set(member, Mode::Cut);
    }
    {
        let mut postgres = stage.postgres.lock().await;
        postgres.stop_fast().await.expect("its end");
        postgres.recover_to(&base, &point).await.expect("a recovery");
    }
    let client = stage.client().await.expect("a connection");
    let after = ledger(&client).await;
    let forgotten: HashSet<Uuid> = before.difference(&after).copied().collect();
    let undelivered = match since {
        Some(since) => delivered_since(stage, since).await,
        None => ids(&client, "select event_id from outbox").await,
    };
    let undelivered: HashSet<Uuid> = undelivered.intersection(&after).copied().collect();
    let told =
        format!("{} events are forgotten, {} may come again", forgotten.len(), undelivered.len());
    stage.note_back(Back { at: stage.redis_time_ms().await, forgotten, undelivered });
    // What would come back with it is of a Postgres that is gone.
    let _ = std::fs::remove_dir_all(stage.path().join("copy"));
    for member in 0..stage.members.len() {
        stage.on_way_to_postgres(member, Way::All, Mode::Pass);
        stage.to_redis.set(member, Mode::Pass);
    }
    for (member, program) in stage.members.iter().zip(&mut programs).take(gone) {
        stage.start_again(member, program);
    }
    drop(programs);
    if eventually(LIMIT, "", async || is_told(stage).await).await.is_err() {
        let complaint = format!("Postgres went back ({fate:?}), and no member told of it");
        losses(stage, |losses| losses.complaints.push(complaint));
    }
    Marks::insert(stage).await.delivered(stage).await;
    stage.shared_by(i64::try_from(stage.members.len()).expect("few")).await;
    format!("{fate:?}: {told}")
}

/// How often the members have told that Postgres went back.
pub(crate) fn told(log: &str) -> usize {
    log.matches(POSTGRES_WENT_BACK).count()
}

async fn is_told(stage: &Stage) -> bool {
    let mut times = 0;
    for member in &stage.members {
        times += told(&member.program.lock().await.log());
    }
    times >= stage.backs().len()
}

/// Since when, by the clock of Redis in ms, the copies of the positions may leave out what was
/// delivered; `None`: there are none, because rows are deleted.
async fn copied_since(stage: &Stage) -> Option<u64> {
    stage.layout()?;
    let oldest = "select coalesce(extract(epoch from min(copied_at)) * 1000, 0) from \
        outflow.position";
    let oldest = u64::try_from(stage.number(oldest).await).expect("a time");
    Some(oldest.saturating_sub(COPY_AGE_MS))
}

async fn delivered_since(stage: &Stage, since: u64) -> HashSet<Uuid> {
    let redis = stage.redis_client();
    redis.ready(LIMIT).await.expect("a connection");
    let mut delivered = HashSet::new();
    for stream in streams() {
        let mut from = since.to_string();
        while let Some((last, entries)) = page(&redis, &stream, &from).await.expect("a page") {
            delivered.extend(entries.iter().filter_map(|(_, entry)| entry.id()));
            from = format!("({last}");
        }
    }
    redis.close().await;
    delivered
}

async fn ledger(client: &Client) -> HashSet<Uuid> {
    ids(client, "select event_id from ledger").await
}

async fn ids(client: &Client, query: &str) -> HashSet<Uuid> {
    let rows = client.query(query, &[]).await.expect("events");
    rows.iter().map(|row| row.get(0)).collect()
}
