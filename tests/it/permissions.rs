//! A permission that is taken away while the relay works: nothing is lost, doubled or out of order,
//! and the journal stays small. One command of the scripts after another, and a Redis that becomes
//! full.

use outflow_connect::redis::Reply;
use outflow_local::{Program, eventually};

use crate::support::{LIMIT, Stage, outbox, read_rounds, write_rounds};

const KEYS: usize = 20;
/// Twenty batches each time.
const ROUNDS: usize = 50;
const SETTINGS: &str = "batch_rows = 50\npoll_interval = \"50ms\"";
/// Records of the batches in flight, their last numbers, the generation; for each of a few
/// generations.
const FIELDS_MAX: i64 = 60;

struct Trial {
    stage: Stage,
    written: usize,
}

impl Trial {
    async fn new() -> Self {
        let stage = Stage::new(&outbox(SETTINGS)).await;
        let trial = Self { stage, written: 0 };
        trial.allow("+@all").await;
        let url = trial.stage.redis.url().replace("redis://", "redis://relay:hunter2@");
        trial.stage.configure_with(&url, &outbox(SETTINGS));
        trial
    }

    async fn allow(&self, rule: &str) {
        self.stage.command("ACL", &["SETUSER", "relay", "on", ">hunter2", "~*", "&*", rule]).await;
    }

    async fn write(&mut self) {
        write_rounds(&self.stage, KEYS, self.written..self.written + ROUNDS).await;
        self.written += ROUNDS;
    }

    async fn generation(&self) -> i64 {
        self.stage.number("select generation from outflow.outbox").await
    }

    async fn fields(&self) -> Vec<String> {
        let journal = self.stage.command("KEYS", &["outflow:journal:*"]).await;
        let journal = journal.items().first().and_then(Reply::string).unwrap_or_default();
        let fields = self.stage.command("HKEYS", &[&journal]).await;
        fields.items().iter().filter_map(Reply::string).collect()
    }

    /// Everything is there once and in order, and the journal is as small as it may be.
    async fn is_whole(&self, what: &str, relay: &Program) {
        let left = eventually(LIMIT, "an empty table", async || {
            self.stage.number("select count(*) from outbox").await == 0
        });
        assert!(left.await.is_ok(), "{what}: {}", relay.log_tail());
        let redis = self.stage.redis_client();
        redis.ready(LIMIT).await.expect("a connection");
        let expected: Vec<usize> = (0..self.written).collect();
        for (key, rounds) in read_rounds(&redis, "events.order", KEYS).await.into_iter().enumerate()
        {
            assert_eq!(rounds, expected, "{what}: key {key}: {}", relay.log_tail());
        }
        redis.close().await;
        let fields = self.fields().await;
        assert!(
            i64::try_from(fields.len()).is_ok_and(|len| len < FIELDS_MAX),
            "{what}: {fields:?}"
        );
    }
}

/// Whether events are delivered without it.
const COMMANDS: [(&str, bool); 9] = [
    ("hdel", true),
    ("hkeys", true),
    ("hget", true),
    ("hgetall", true),
    ("eval", true),
    ("evalsha", false),
    ("hmget", false),
    ("hset", false),
    ("xadd", false),
];

#[tokio::test]
async fn a_command_that_is_taken_away_loses_and_doubles_nothing() {
    let mut trial = Trial::new().await;
    let relay = trial.stage.relay();
    trial.stage.ready(200).await;
    for (command, delivers) in COMMANDS {
        let generation = trial.generation().await;
        // Under way when it is taken.
        trial.write().await;
        trial.allow(&format!("-{command}")).await;
        trial.write().await;
        if delivers {
            trial.is_whole(&format!("without {command}"), &relay).await;
            assert_eq!(
                trial.generation().await,
                generation,
                "nothing is in doubt without {command}"
            );
        } else {
            let refused = eventually(LIMIT, "a refusal", async || {
                let status = format!("http://127.0.0.1:{}/status", trial.stage.admin_port);
                let status: serde_json::Value =
                    reqwest::get(status).await.ok()?.json().await.ok()?;
                let outbox = &status["outboxes"][0];
                (outbox["problem"].is_string() || outbox["streams_parked"] == 1).then_some(())
            });
            assert!(refused.await.is_ok(), "without {command}: {}", relay.log_tail());
        }
        trial.allow(&format!("+{command}")).await;
        trial.is_whole(&format!("{command} is given back"), &relay).await;
    }
    // What could not be dropped is dropped now.
    let cleared = eventually(LIMIT, "a journal without records", async || {
        !trial.fields().await.iter().any(|field| field.starts_with("batch:"))
    });
    assert!(cleared.await.is_ok(), "{:?}", trial.fields().await);
}

/// The recoveries too: relays that are killed while records may not be dropped, and while they may.
#[tokio::test]
async fn recoveries_without_a_permission_lose_and_double_nothing() {
    let mut trial = Trial::new().await;
    for round in 0..3 {
        trial.allow("-hdel").await;
        let mut killed = trial.stage.relay();
        trial.write().await;
        trial
            .stage
            .reaches("events.order", i64::try_from(round * 2 * KEYS * ROUNDS + 100).expect("small"))
            .await;
        killed.kill();
        let mut next = trial.stage.relay();
        trial.write().await;
        trial.is_whole("without hdel", &next).await;
        trial.allow("+hdel").await;
        next.kill();
    }
    let last = trial.stage.relay();
    let cleared = eventually(LIMIT, "a journal of its own", async || {
        !trial.fields().await.iter().any(|field| field.starts_with("batch:"))
    });
    assert!(cleared.await.is_ok(), "{:?}: {}", trial.fields().await, last.log_tail());
}

/// Full in the middle of the work, again and again.
#[tokio::test]
async fn a_redis_that_is_full_now_and_then_loses_and_doubles_nothing() {
    let mut trial = Trial::new().await;
    let relay = trial.stage.relay();
    trial.stage.ready(200).await;
    for round in 0..3 {
        trial.write().await;
        trial.stage.command("CONFIG", &["SET", "maxmemory", "1"]).await;
        trial.write().await;
        trial.stage.not_ready("OOM").await;
        trial.stage.command("CONFIG", &["SET", "maxmemory", "0"]).await;
        trial.is_whole(&format!("round {round}"), &relay).await;
    }
}
