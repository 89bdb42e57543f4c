//! `make bench-companions`: the companions beside the tutorial's way in Python, same machine, same
//! servers, same run.
//!
//! Orders a second: order-api with several clients at a time, and `FastAPI` with `SQLAlchemy` and a
//! direct XADD, one request at a time as the tutorial's client sends them, and with as many clients
//! as ours has.
//!
//! Entries a second: order-consumer with its default options and with larger limits, and a loop of
//! XREADGROUP COUNT 1. Each entry is an order of one sku of a thousand. Both note it in an inbox,
//! change the sku's row and insert a reservation, in a transaction; ours also checks that there is
//! enough and writes the event that tells of it to the outbox. What is counted is rows of the
//! inbox, hence committed effects. fsync and `synchronous_commit` are on.
//!
//! `ONLY=api` or `ONLY=consumer`: that half alone.

#![allow(clippy::disallowed_methods, reason = "their tasks end with their runtime")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outflow_connect::redis::Args;
use outflow_local::{
    Postgres, Program, Redis, Servers, eventually, free_port, python_environment, redis_client,
    session,
};
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

const LIMIT: Duration = Duration::from_mins(2);
const API_TIME: Duration = Duration::from_secs(10);
const CLIENTS: usize = 32;
const ENTRIES: i64 = 60_000;
const TUTORIAL_ENTRIES: i64 = 4_000;
const LARGE: [&str; 6] = ["--handle-batch", "256", "--batch", "256", "--prefetch", "1024"];
const EVENT_TABLE: &str = include_str!("../../../src/operate/migrate/event_table.sql");
const TABLES: &str = "create table tutorial_orders (order_id uuid primary key, \
  customer_id text not null, items jsonb not null);
  create table tutorial_inbox (consumer_group text, event_id uuid, primary key (consumer_group, \
  event_id));
  create table tutorial_inventory (sku text primary key, reserved bigint not null);
  create table tutorial_reservations (order_id uuid primary key, state text not null)";

struct Bench {
    postgres: Postgres,
    redis: Redis,
    client: Client,
    dir: tempfile::TempDir,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the table")]
async fn main() {
    let requirements = include_str!("../../../deploy/examples/fastapi/requirements.txt");
    let packages: Vec<&str> = requirements.lines().collect();
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let python = python_environment(root, "fastapi", &packages)
        .unwrap_or_else(|error| panic!("nothing to compare with: {error}"));
    let Servers { postgres, redis, dir } = Servers::start().await.expect("servers");
    let client = session(&postgres.url()).await.expect("a session");
    let outbox = EVENT_TABLE.replace("{table}", "public.outbox");
    client.batch_execute(&outbox).await.expect("an outbox");
    client.batch_execute(TABLES).await.expect("tables");
    let bench = Bench { postgres, redis, client, dir };

    let only = std::env::var("ONLY").unwrap_or_default();
    if only != "consumer" {
        let ours = bench.api().await;
        let (one, many) = bench.tutorial_api(&python).await;
        println!("orders/s    order-api, {CLIENTS} clients            {ours:>8.0}");
        println!(
            "            FastAPI, one request at a time   {one:>8.0}   ours: {:.1} x",
            ours / one
        );
        println!(
            "            FastAPI, {CLIENTS} clients              {many:>8.0}   ours: {:.1} x",
            ours / many
        );
    }
    if only != "api" {
        let (plain, large) = (bench.consumer(&[]).await, bench.consumer(&LARGE).await);
        let theirs = bench.tutorial_consumer(&python).await;
        println!("entries/s   XREADGROUP COUNT 1, inbox on     {theirs:>8.0}");
        println!(
            "            order-consumer, default options  {plain:>8.0}   {:.1} x",
            plain / theirs
        );
        println!(
            "            order-consumer, larger limits    {large:>8.0}   {:.1} x",
            large / theirs
        );
        println!(
            "            (inbox rows committed a second, fsync on, after the first tenth of \
                {ENTRIES} entries ({TUTORIAL_ENTRIES}"
        );
        println!(
            "            for the loop) waiting in the stream; larger limits: {})",
            LARGE.join(" ")
        );
    }
}

impl Bench {
    async fn api(&self) -> f64 {
        let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
        let url = self.postgres.url();
        let args = [
            "--listen",
            &listen,
            "--postgres-url",
            &url,
            "--postgres-connections",
            "16",
            "--log-level",
            "warn",
        ];
        let path = Path::new(env!("CARGO_BIN_EXE_order-api"));
        let mut program =
            Program::start("order-api", path, &args, &[], self.dir.path()).expect("order-api");
        let rate = orders(&format!("http://{listen}"), "/readyz", CLIENTS).await;
        program.terminate();
        program.wait(LIMIT).await.expect("its end");
        rate
    }

    async fn tutorial_api(&self, python: &Path) -> (f64, f64) {
        let port = free_port().expect("a port").to_string();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/companions");
        let args =
            ["tutorial_api:app", "--app-dir", folder, "--port", &port, "--log-level", "warning"];
        let database = self.postgres.url().replacen("postgres://", "postgresql+psycopg://", 1);
        let redis = self.redis.url();
        let env = [
            ("DATABASE_URL", database.as_str()),
            ("REDIS_URL", &redis),
            ("PYTHONDONTWRITEBYTECODE", "1"),
        ];
        let _program =
            Program::start("uvicorn", &python.join("bin/uvicorn"), &args, &env, self.dir.path())
                .expect("it");
        let base = format!("http://127.0.0.1:{port}");
        let one = orders(&base, "/openapi.json", 1).await;
        (one, orders(&base, "/openapi.json", CLIENTS).await)
    }

    async fn consumer(&self, options: &[&str]) -> f64 {
        let nothing = "drop schema if exists orders cascade; truncate public.outbox";
        self.client.batch_execute(nothing).await.expect("nothing of the run before");
        self.fill("events.order", ENTRIES).await;
        let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
        let (postgres, redis) = (self.postgres.url(), self.redis.url());
        let mut args =
            vec!["--listen", &listen, "--postgres-url", &postgres, "--redis-url", &redis];
        args.extend(["--consumer", "one", "--log-level", "warn"]);
        args.extend(options);
        let path = Path::new(env!("CARGO_BIN_EXE_order-consumer"));
        let mut program =
            Program::start("order-consumer", path, &args, &[], self.dir.path()).expect("it");
        let rate = self.rate("orders.inbox", ENTRIES).await;
        program.terminate();
        program.wait(LIMIT).await.expect("its end");
        rate
    }

    async fn tutorial_consumer(&self, python: &Path) -> f64 {
        self.fill("tutorial.load", TUTORIAL_ENTRIES).await;
        let (postgres, redis) = (self.postgres.url(), self.redis.url());
        let script =
            concat!(env!("CARGO_MANIFEST_DIR"), "/benches/companions/tutorial_consumer.py");
        let env = [("DATABASE_URL", postgres.as_str()), ("REDIS_URL", &redis)];
        let _program = Program::start(
            "tutorial",
            &python.join("bin/python"),
            &[script],
            &env,
            self.dir.path(),
        )
        .expect("it");
        self.rate("tutorial_inbox", TUTORIAL_ENTRIES).await
    }

    /// Rows a second, from the first tenth on: starting up is not what is measured.
    async fn rate(&self, table: &str, total: i64) -> f64 {
        let query = format!("select count(*) from {table}");
        let count =
            async || self.client.query_one(&query, &[]).await.map_or(0, |row| row.get::<_, i64>(0));
        let first = async || Some(count().await).filter(|count| *count >= total / 10);
        let first = eventually(LIMIT, "a tenth of the entries", first).await.expect("in time");
        let started = Instant::now();
        // Counting costs the server what it is measured by: seldom.
        let mut pace = tokio::time::interval(Duration::from_millis(200));
        while count().await < total {
            assert!(started.elapsed() < LIMIT, "{table}: not done");
            pace.tick().await;
        }
        number(total - first) / started.elapsed().as_secs_f64()
    }

    /// Entries as the relay writes them, about orders of their own, a thousand skus. Nothing else
    /// is left in Redis.
    async fn fill(&self, stream: &str, entries: i64) {
        let redis = redis_client(&self.redis.url(), "bench");
        redis.ready(LIMIT).await.expect("a connection");
        redis.call("FLUSHALL", Args::default()).await.expect("an answer");
        for number in 0..entries {
            let id = Uuid::now_v7().to_string();
            let items = json!([{ "sku": format!("sku-{}", number % 1_000), "quantity": 1,
                "unit_price": "1.00" }]);
            let payload = json!({
                "event_id": id, "event_type": "OrderCreated", "aggregate_id": id,
                "occurred_at": "2026-01-02T03:04:05Z",
                "order_id": id, "customer_id": "c", "total_amount": "1.00", "currency": "EUR",
                "items": items,
            });
            let (payload, time) = (payload.to_string(), "2026-01-02T03:04:05Z");
            let entry: Args = [
                stream,
                "*",
                "id",
                &id,
                "type",
                "OrderCreated",
                "key",
                &id,
                "time",
                time,
                "payload",
                &payload,
            ]
            .into();
            redis.call("XADD", entry).await.expect("an entry");
        }
        redis.close().await;
    }
}

/// Orders placed a second by so many clients, each of which waits for its answers.
async fn orders(base: &str, ready: &str, clients: usize) -> f64 {
    let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().expect("a client");
    let ready = format!("{base}{ready}");
    let up =
        async || http.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success());
    eventually(LIMIT, "it to be ready", up).await.expect("in time");
    let (placed, started) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..clients {
        let (http, placed, url) = (http.clone(), Arc::clone(&placed), format!("{base}/orders"));
        tasks.spawn(async move {
            let order = json!({
                "customer_id": format!("c-{client}"),
                "items": [{ "sku": "a", "quantity": 1, "unit_price": "1.00" }],
            });
            while started.elapsed() < API_TIME {
                let answer = http.post(&url).json(&order).send().await.expect("an answer");
                assert_eq!(answer.status().as_u16(), 201);
                answer.bytes().await.expect("a body");
                placed.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no panic");
    }
    number(i64::try_from(placed.load(Ordering::Relaxed)).expect("few"))
        / started.elapsed().as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn number(count: i64) -> f64 {
    count as f64
}
