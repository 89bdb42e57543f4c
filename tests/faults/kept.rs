//! A run over a kept outbox: rows stay, so that what is delivered shows in the streams alone. What
//! they held when Redis was emptied is remembered.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use futures_util::future::join_all;
use outflow_local::eventually;
use tokio::time::sleep;
use uuid::Uuid;

use super::checker::{Entries, Entry, page};
use super::stage::{LIMIT, Stage, time_ms};
use super::writers::{KINDS, insert_marks};

/// What a member says when it sends again what Redis has lost.
pub(crate) const HEALED: &str = "Redis came back in an older state";
/// What a member says when Postgres went back in time, and only then.
pub(crate) const POSTGRES_WENT_BACK: &str = "Postgres was restored or has failed over";

/// How the table is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Ring,
    Plain,
}

impl Layout {
    /// The one of this seed: they alternate.
    pub(crate) fn of_seed(seed: u64) -> Self {
        if seed.is_multiple_of(2) { Self::Plain } else { Self::Ring }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Plain => "plain",
        }
    }
}

/// What the streams held when Redis was emptied.
#[derive(Debug, Clone)]
pub(crate) struct Flushed {
    /// By the clock that the ids of entries have, in ms.
    pub(crate) at: u64,
    pub(crate) streams: Vec<(String, Entries)>,
}

/// An event of every key.
pub(crate) struct Marks {
    ids: Vec<Uuid>,
    since: String,
}

impl Marks {
    /// Inserts them, however long Postgres is down.
    pub(crate) async fn insert(stage: &Stage) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_millis();
        let ids = eventually(LIMIT, "an insert", async || {
            let mut client = stage.client().await.ok()?;
            insert_marks(&mut client, stage.layout()).await.ok()
        });
        Self { ids: ids.await.expect("an insert"), since: since.to_string() }
    }

    /// How many are not delivered yet. A server that does not say has all of them.
    pub(crate) async fn left(&self, stage: &Stage) -> usize {
        if stage.layout().is_some() {
            let all = self.ids.iter().copied().collect();
            return nowhere(stage, all, &self.since).await.unwrap_or(self.ids.len());
        }
        let ids: Vec<String> = self.ids.iter().map(|id| format!("'{id}'")).collect();
        let query =
            format!("select count(*) from public.outbox where event_id in ({})", ids.join(", "));
        usize::try_from(stage.number(&query).await).expect("a count")
    }

    pub(crate) async fn delivered(&self, stage: &Stage) {
        let delivered = async || self.left(stage).await == 0;
        eventually(LIMIT, "the marks", delivered).await.expect("their delivery");
    }
}

/// How many events are not delivered yet; `None`: a server does not say.
pub(crate) async fn left(stage: &Stage) -> Option<usize> {
    if stage.layout().is_none() {
        let left = stage.number("select count(*) from public.outbox").await;
        return usize::try_from(left).ok();
    }
    let client = stage.client().await.ok()?;
    let rows = client.query("select event_id from ledger", &[]).await.ok()?;
    let mut all: HashSet<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    for (_, entries) in stage.flushed().iter().flat_map(|flushed| &flushed.streams) {
        for id in entries.iter().filter_map(|(_, entry)| entry.id()) {
            all.remove(&id);
        }
    }
    nowhere(stage, all, "-").await
}

/// How many of them are neither in a stream, from there on, nor dead letters.
async fn nowhere(stage: &Stage, mut all: HashSet<Uuid>, since: &str) -> Option<usize> {
    let client = stage.client().await.ok()?;
    let letters = client.query("select event_id from outflow.dead_letter", &[]).await.ok()?;
    for id in letters.iter().filter_map(|row| row.get::<_, String>(0).parse().ok()) {
        all.remove(&id);
    }
    let redis = stage.redis_client();
    redis.ready(LIMIT).await.ok()?;
    for stream in streams() {
        let mut from = since.to_owned();
        while let Some((last, entries)) = page(&redis, &stream, &from).await.ok()? {
            for id in entries.iter().filter_map(|(_, entry)| entry.id()) {
                all.remove(&id);
            }
            from = format!("({last}");
        }
    }
    redis.close().await;
    Some(all.len())
}

pub(crate) fn streams() -> impl Iterator<Item = String> {
    KINDS.iter().map(|kind| format!("events.{kind}"))
}

/// Everything up to now is in Postgres's copy of the positions, too.
pub(crate) async fn copied(stage: &Stage) {
    let now = stage.number("select (extract(epoch from clock_timestamp()) * 1000000)::bigint");
    let old = format!(
        "select count(*) from outflow.position where copied_at <= to_timestamp({} / 1e6)",
        now.await
    );
    let copied = async || stage.number(&old).await == 0;
    eventually(LIMIT, "copies of the positions", copied).await.expect("copies");
}

/// Empties Redis: no journal is left, and a member goes on from the copy of its position in
/// Postgres, which is about a second old. No other fault may be under way: what is delivered twice
/// must be the flush's doing alone.
pub(crate) async fn flush(stage: &Stage, rng: &mut Rng) -> String {
    const FLUSH: &str = "local all = {redis.call('TIME')} \
        for i, key in ipairs(KEYS) do all[i + 1] = redis.call('XRANGE', key, '-', '+') end \
        redis.call('FLUSHALL') return all";
    Marks::insert(stage).await.delivered(stage).await;
    sleep(Duration::from_millis(rng.u64(0..2_000))).await;
    let mut programs = join_all(stage.members.iter().map(|member| member.program.lock())).await;
    let gone = if rng.bool() { programs.len() } else { 0 };
    for program in &mut programs[..gone] {
        program.kill();
    }
    for program in &mut programs[..gone] {
        program.wait(LIMIT).await.expect("its end");
    }
    let generation = stage.number("select generation from outflow.outbox").await;
    let streams: Vec<String> = streams().collect();
    let count = streams.len().to_string();
    let mut args = vec![FLUSH, &count];
    args.extend(streams.iter().map(String::as_str));
    let all = stage.command("EVAL", &args).await.expect("a flush");
    let (time, entries) = all.items().split_first().expect("a time");
    let at = time_ms(time);
    let entries = entries.iter().map(|all| all.items().iter().map(Entry::parse).collect());
    let streams: Vec<(String, Entries)> = streams.into_iter().zip(entries).collect();
    let held: usize = streams.iter().map(|(_, entries)| entries.len()).sum();
    stage.note_flushed(Flushed { at, streams });
    // What would come back with it is remembered as gone.
    let _ = std::fs::remove_dir_all(stage.path().join("copy"));
    for (member, program) in stage.members.iter().zip(&mut programs).take(gone) {
        stage.start_again(member, program);
    }
    drop(programs);
    let raised = async || stage.number("select generation from outflow.outbox").await > generation;
    eventually(LIMIT, "a recovery", raised).await.expect("a recovery");
    stage.shared_by(i64::try_from(stage.members.len()).expect("few")).await;
    format!("{held} entries are gone, {gone} members were killed")
}
