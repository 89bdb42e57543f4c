//! Applications: they insert events, and count and note each in the same transaction, so that the
//! tables themselves say afterwards what was committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::kept::Layout;
use super::stage::Stage;

/// What is written, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) writers: usize,
    pub(crate) keys: u32,
    /// Longest pause of a writer between two transactions, in ms.
    pub(crate) pause_ms: u64,
    /// How many transactions in a hundred are held open, and for how long at most, in ms.
    pub(crate) held: u64,
    pub(crate) held_ms: u64,
    /// A burst of so many events for each of a third of the keys, so that batches are full.
    pub(crate) burst: i32,
    /// Pause between two bursts, in ms.
    pub(crate) burst_pause_ms: u64,
    /// The share of events that no claim can take, because they have no type or are larger printed
    /// than stored: each makes the claims small for a while.
    pub(crate) poison: f64,
    /// Bytes that a payload has besides its counter.
    pub(crate) pad: i32,
    /// The writers wait while so many events are in the outbox; 0: they never do.
    pub(crate) backlog_max: i64,
}

impl Load {
    /// About 300 events a second.
    pub(crate) fn steady() -> Self {
        Self {
            writers: 6,
            keys: 240,
            pause_ms: 200,
            held: 4,
            held_ms: 1_500,
            burst: 2,
            burst_pause_ms: 1_500,
            poison: 0.004,
            pad: 60,
            backlog_max: 0,
        }
    }

    /// More than the relay may append, so that there is always something to claim.
    pub(crate) fn full() -> Self {
        Self {
            pause_ms: 40,
            burst: 10,
            burst_pause_ms: 100,
            poison: 0.000_3,
            pad: 600,
            backlog_max: 8_000,
            ..Self::steady()
        }
    }
}

/// The counters, and a note of every committed event, with the reason if it must become a dead
/// letter: what the checker believes.
const TABLES: &str = "create table counter (key text primary key, kind text not null, n bigint \
    not null default 0); \
    create table ledger (event_id uuid primary key, key text not null, kind text not null, n \
    bigint not null, due text); \
    alter table outbox alter column event_type drop not null";
pub(crate) const KINDS: [&str; 5] = ["order", "payment", "stock", "mail", "audit"];

/// Writers of one key wait for each other here, as they would at the row of their aggregate.
pub(crate) const LOCK: &str = "select 1 from counter where key = any($1) order by key for update";
const WRITE: &str = include_str!("write.sql");

/// What the table takes. The key of a ring is made of the time, which must be a number that is not
/// negative. Events of a commit that Postgres may forget say so.
fn statement(keep: Option<Layout>, is_async: bool) -> String {
    const ODD: &str = "{infinity,-infinity,\"4000-01-01 BC\",12000-01-01}";
    assert!(WRITE.contains(ODD), "no odd times");
    let statement = match keep {
        Some(Layout::Ring) => WRITE.replace(ODD, "{1970-01-01,2001-09-09,2038-01-19,12000-01-01}"),
        Some(Layout::Plain) | None => WRITE.to_owned(),
    };
    if is_async { statement.replace("'n', n,", "'n', n, 'async', true,") } else { statement }
}

/// Writers at work; they end when this is dropped.
pub(crate) struct Writers {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Writers {
    pub(crate) async fn start(stage: &Stage, load: Load, seed: u64) -> Self {
        let client = stage.client().await.expect("a connection");
        client.batch_execute(TABLES).await.expect("tables");
        let kinds: Vec<&str> = KINDS.to_vec();
        let insert = "insert into counter (key, kind) select 'k' || i, ($2::text[])[1 + i % 5] \
            from generate_series(0, $1 - 1) i";
        client
            .execute(insert, &[&i32::try_from(load.keys).expect("few"), &kinds])
            .await
            .expect("counters");
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let waits = Arc::<AtomicBool>::default();
        if load.backlog_max > 0 {
            let url = stage.postgres_url().to_owned();
            tasks.spawn(look(url, load.backlog_max, Arc::clone(&waits), stop.clone()));
        }
        let mut rng = Rng::with_seed(seed);
        for number in 0..=load.writers {
            let (url, rng, stop) = (stage.postgres_url().to_owned(), rng.fork(), stop.clone());
            // A third of them: what Postgres has said is committed may be gone after a crash.
            let is_async = stage.layout().is_some() && number % 3 == 1;
            let writer = Writer {
                load,
                bursts: number == load.writers,
                is_async,
                statement: statement(stage.layout(), is_async),
            };
            tasks.spawn(write(url, writer, rng, Arc::clone(&waits), stop));
        }
        Self { stop, tasks }
    }

    /// Lets each finish what it is at.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a writer");
        }
    }
}

/// One writer.
struct Writer {
    load: Load,
    /// It writes bursts.
    bursts: bool,
    /// It does not wait until a commit is on the disk.
    is_async: bool,
    statement: String,
}

/// Writers that wait for no disk, at work without a pause until the server is gone.
pub(crate) fn reckless(stage: &Stage, rng: &mut Rng) -> JoinSet<()> {
    const WRITERS: usize = 4;
    let mut tasks = JoinSet::new();
    for _ in 0..WRITERS {
        let (url, mut rng) = (stage.postgres_url().to_owned(), rng.fork());
        let load = Load { held: 0, poison: 0.0, ..Load::steady() };
        let statement = statement(stage.layout(), true);
        let writer = Writer { load, bursts: false, is_async: true, statement };
        tasks.spawn(async move {
            let Some(mut client) = connect(&url).await else { return };
            while writer.transact(&mut client, &mut rng).await.is_ok() {}
        });
    }
    tasks
}

/// One event for every key; returns their event ids.
pub(crate) async fn insert_marks(
    client: &mut Client,
    keep: Option<Layout>,
) -> Result<Vec<Uuid>, tokio_postgres::Error> {
    let keys: Vec<String> =
        client.query("select key from counter", &[]).await?.iter().map(|row| row.get(0)).collect();
    let transaction = client.transaction().await?;
    transaction.execute(LOCK, &[&keys]).await?;
    let marks = transaction
        .query(
            &format!("{} returning event_id", statement(keep, false)),
            &[&keys, &1_i64, &0.0, &60],
        )
        .await?;
    transaction.commit().await?;
    Ok(marks.iter().map(|row| row.get(0)).collect())
}

/// Writes until it is told to stop; when the server is gone it connects again.
async fn write(
    url: String,
    writer: Writer,
    mut rng: Rng,
    waits: Arc<AtomicBool>,
    stop: CancellationToken,
) {
    let mut client: Option<Client> = None;
    while !stop.is_cancelled() {
        let Load { pause_ms, burst_pause_ms, .. } = writer.load;
        let pause = if writer.bursts { burst_pause_ms } else { rng.u64(0..=pause_ms) };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            () = stop.cancelled() => return,
        }
        if waits.load(Ordering::Relaxed) {
            continue;
        }
        if client.as_ref().is_none_or(Client::is_closed) {
            client = connect(&url).await;
        }
        let Some(open) = client.as_mut() else { continue };
        if writer.transact(open, &mut rng).await.is_err() {
            // Whether it was committed, the tables know.
            client = None;
        }
    }
}

/// Looks how much waits in the outbox, whatever a fault does to the table or to the server.
async fn look(url: String, most: i64, waits: Arc<AtomicBool>, stop: CancellationToken) {
    let query = format!("select count(*) from (select from outbox limit {most}) o");
    let mut client: Option<Client> = None;
    while !stop.is_cancelled() {
        if client.as_ref().is_none_or(Client::is_closed) {
            client = connect(&url).await;
        }
        if let Some(open) = &client
            && let Ok(count) = outflow_local::number(open, &query).await
        {
            waits.store(count >= most, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn connect(url: &str) -> Option<Client> {
    let connecting =
        tokio::time::timeout(Duration::from_secs(5), tokio_postgres::connect(url, NoTls));
    let (client, connection) = connecting.await.ok()?.ok()?;
    tokio::spawn(connection);
    Some(client)
}

impl Writer {
    async fn transact(
        &self,
        client: &mut Client,
        rng: &mut Rng,
    ) -> Result<(), tokio_postgres::Error> {
        let Self { load, bursts, is_async, statement } = self;
        let count = if *bursts { load.keys / 3 } else { rng.u32(1..=4) };
        let keys: Vec<String> = (0..count).map(|_| format!("k{}", rng.u32(0..load.keys))).collect();
        let events = if *bursts { load.burst } else { rng.i32(1..=3) };
        let transaction = client.transaction().await?;
        transaction.execute(LOCK, &[&keys]).await?;
        if *is_async {
            transaction.batch_execute("set local synchronous_commit = off").await?;
        }
        transaction
            .execute(statement, &[&keys, &i64::from(events), &load.poison, &load.pad])
            .await?;
        if rng.u64(0..100) < load.held {
            tokio::time::sleep(Duration::from_millis(rng.u64(50..=load.held_ms))).await;
        }
        // Of a commit that is not there nobody may know, of a rollback the streams must not.
        let rolls_back = rng.u32(0..100) < 6 && !is_async;
        if rolls_back { transaction.rollback().await } else { transaction.commit().await }
    }
}
