//! Consumers over real servers: the library in this process, and order-consumer, the real binary.

mod blame;
mod crashes;
mod dead;
mod ends;
mod faults;
mod hangs;
mod inbox;
mod large;
mod library;
mod limits;
mod lost;
mod paused;
mod program;
mod together;
mod upgrades;

use std::time::Duration;

use crate::support::{event_table, program};
use outflow_connect::redis::Reply;
use outflow_local::{Postgres, Program, Redis, Servers, eventually, free_port, redis_client};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) const LIMIT: Duration = Duration::from_secs(30);
pub(crate) const STREAM: &str = "events.order";
pub(crate) const DEAD: &str = "events.order.dead";

/// Both servers, and a connection to each.
pub(crate) struct Scene {
    pub(crate) db: tokio_postgres::Client,
    pub(crate) client: outflow_connect::redis::Redis,
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
    pub(crate) dir: TempDir,
}

/// A running consumer, and where it answers.
pub(crate) struct Consumer {
    pub(crate) program: Program,
    base: String,
    http: reqwest::Client,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let Servers { postgres, redis, dir } = Servers::start().await.expect("servers");
        let client = redis_client(&redis.url(), "test");
        client.ready(LIMIT).await.expect("a connection");
        let db = session(&postgres).await;
        db.batch_execute(&event_table("public.outbox")).await.expect("an outbox");
        Self { db, client, postgres, redis, dir }
    }

    /// Starts a consumer of that name; `extra` options come on top.
    pub(crate) fn start(&self, name: &str, extra: &[&str]) -> Consumer {
        let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
        let (redis, postgres) = (self.redis.url(), self.postgres.url());
        let mut args = vec![
            "--consumer",
            name,
            "--listen",
            &listen,
            "--log-format",
            "text",
            "--retry-delay",
            "10ms",
        ];
        args.extend(["--log-level", "info,outflow=debug"]);
        args.extend(extra);
        let envs = [
            ("ORDER_CONSUMER_REDIS_URL", redis.as_str()),
            ("ORDER_CONSUMER_POSTGRES_URL", postgres.as_str()),
        ];
        let path = program("order-consumer").as_ref();
        let program =
            Program::start(name, path, &args, &envs, self.dir.path()).expect("order-consumer");
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().expect("a client");
        Consumer { program, base: format!("http://{listen}"), http }
    }

    /// As [`Scene::start`], and waits until it is ready.
    pub(crate) async fn ready(&self, name: &str, extra: &[&str]) -> Consumer {
        let consumer = self.start(name, extra);
        consumer.until_ready().await;
        consumer
    }

    pub(crate) async fn call(&self, command: &'static str, args: &[&str]) -> Reply {
        let mut all = outflow_connect::redis::Args::default();
        for arg in args {
            all.text(*arg);
        }
        self.client.call(command, all).await.expect("an answer")
    }

    pub(crate) async fn add(&self, fields: &[&str]) -> String {
        let reply = self.call("XADD", &[&[STREAM, "*"], fields].concat()).await;
        text(&reply)
    }

    /// Appends an event as the relay does, about an order of its own; returns the entry's id.
    pub(crate) async fn order(&self, event_id: Uuid, kind: &str, items: &[(&str, u32)]) -> String {
        self.tell(event_id, event_id, kind, items).await
    }

    /// As [`Scene::order`], about that order. All have one key.
    pub(crate) async fn tell(
        &self,
        order_id: Uuid,
        event_id: Uuid,
        kind: &str,
        items: &[(&str, u32)],
    ) -> String {
        let items: Vec<_> = items
            .iter()
            .map(|(sku, count)| json!({ "sku": sku, "quantity": count, "unit_price": "1.00" }))
            .collect();
        let (id, key, time) =
            (event_id.to_string(), Uuid::nil().to_string(), "2026-01-02T03:04:05Z");
        let payload = json!({
            "event_id": id, "event_type": kind, "aggregate_id": key, "occurred_at": time,
            "order_id": order_id,
            "customer_id": "c", "total_amount": "1.00", "currency": "EUR", "items": items,
        });
        self.add(&[
            "id",
            &id,
            "type",
            kind,
            "key",
            &key,
            "time",
            time,
            "payload",
            &payload.to_string(),
        ])
        .await
    }

    pub(crate) async fn reserve(&self, sku: &str, count: u32) -> Uuid {
        let event_id = Uuid::now_v7();
        self.order(event_id, "OrderCreated", &[(sku, count)]).await;
        event_id
    }

    pub(crate) async fn reserved(&self, sku: &str) -> Option<i64> {
        // The tables may not be there yet.
        let found = self
            .db
            .query_opt("select reserved from orders.inventory where sku = $1", &[&sku])
            .await;
        found.ok().flatten().map(|row| row.get(0))
    }

    pub(crate) async fn until_reserved(&self, sku: &str, count: i64) {
        let enough = async || self.reserved(sku).await == Some(count);
        eventually(LIMIT, &format!("{count} of {sku} to be reserved"), enough)
            .await
            .expect("in time");
    }

    /// How many entries are pending.
    pub(crate) async fn pending(&self) -> i64 {
        self.call("XPENDING", &[STREAM, "inventory"]).await.items()[0].int().expect("a number")
    }

    pub(crate) async fn until_none_pending(&self) {
        // A group that nobody has made yet is refused.
        let none = async || {
            let pending = self.client.call("XPENDING", [STREAM, "inventory"].into()).await;
            pending.is_ok_and(|pending| pending.items()[0].int() == Some(0))
        };
        eventually(LIMIT, "nothing to be pending", none).await.expect("in time");
    }

    /// The first pending entry: its consumer, idle milliseconds and attempts.
    pub(crate) async fn first_pending(&self) -> Option<(String, i64, i64)> {
        let reply = self.call("XPENDING", &[STREAM, "inventory", "-", "+", "1"]).await;
        let row = reply.items().first()?.items().to_vec();
        Some((text(&row[1]), row[2].int()?, row[3].int()?))
    }

    /// The dead-letter stream: each entry's fields as texts, names and values in turn.
    pub(crate) async fn dead(&self) -> Vec<Vec<String>> {
        let reply = self.call("XRANGE", &[DEAD, "-", "+"]).await;
        reply
            .items()
            .iter()
            .map(|entry| entry.items()[1].items().iter().map(text).collect())
            .collect()
    }

    /// Makes handlers wait, until the transaction that this begins ends.
    pub(crate) async fn lock(&self, sku: &str) {
        self.db.batch_execute("begin").await.expect("a transaction");
        self.db
            .execute("select 1 from orders.inventory where sku = $1 for update", &[&sku])
            .await
            .expect("a lock");
    }

    pub(crate) async fn until_somebody_waits(&self) {
        self.until_a_wait_is_younger_than("1h").await;
    }

    /// The consumer gives a wait up after five seconds, and its attempt then does not count.
    pub(crate) async fn until_a_wait_is_younger_than(&self, age: &str) {
        let other = session(&self.postgres).await;
        let sql = format!(
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' and \
            application_name = 'order-consumer' and \
            clock_timestamp() - query_start < interval '{age}'"
        );
        let waits = async || !other.query(&sql, &[]).await.expect("an answer").is_empty();
        eventually(LIMIT, "the handler to wait for the lock", waits).await.expect("in time");
    }
}

impl Consumer {
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        let response = self.http.get(format!("{}{path}", self.base)).send().await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    pub(crate) async fn until_ready(&self) {
        let ready = async || self.get("/readyz").await.is_some_and(|(status, _)| status == 200);
        eventually(LIMIT, "the consumer to be ready", ready).await.expect("in time");
    }

    pub(crate) async fn until_unready(&self, cause: &str) {
        let unready = async || {
            self.get("/readyz")
                .await
                .is_some_and(|(status, text)| status == 503 && text.contains(cause))
        };
        eventually(LIMIT, &format!("the consumer to miss {cause}"), unready)
            .await
            .expect("in time");
    }

    /// The value of a counter; `labels` is what stands before stream and group.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics").await?;
        let line =
            text.lines().find(|line| line.starts_with(&format!("outflow_consumer_{name}")))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// The sum of a counter over its labels.
    pub(crate) async fn sum(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics").await.expect("metrics");
        let ours =
            text.lines().filter(|line| line.starts_with(&format!("outflow_consumer_{name}{{")));
        ours.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    pub(crate) async fn until_metric(&self, name: &str, at_least: f64) {
        let enough = async || self.metric(name).await.is_some_and(|value| value >= at_least);
        eventually(LIMIT, &format!("{name} to be {at_least}"), enough).await.expect("in time");
    }

    pub(crate) async fn stop(mut self) {
        self.program.terminate();
        let status = self.program.wait(LIMIT).await.expect("its end");
        assert!(status.success(), "{status}: {}", self.program.log_tail());
    }
}

pub(crate) async fn session(postgres: &Postgres) -> tokio_postgres::Client {
    outflow_local::session(&postgres.url()).await.expect("a session")
}

/// The value of a field.
pub(crate) fn about(fields: &[String], name: &str) -> String {
    let at = fields.chunks(2).position(|pair| pair[0] == name).expect("the field");
    fields[2 * at + 1].clone()
}

pub(crate) fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.text().expect("a text")).into_owned()
}
