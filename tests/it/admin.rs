//! The admin endpoint's probes and status, and the log's summary.

use std::time::Duration;

use outflow_local::eventually;
use serde_json::Value;

use crate::support::{LIMIT, Numbered, Stage, event_table, outbox};

async fn get(stage: &Stage, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://127.0.0.1:{}{path}", stage.admin_port))
        .await
        .expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a text"))
}

#[tokio::test]
async fn probes_and_status_say_how_each_outbox_stands() {
    let second = "[[outbox]]\nname = \"audit\"\ntable = \"app.audit\"\nstream = \"audit\"\n";
    let mut stage = Stage::bare(&format!("{}{second}", outbox(""))).await;
    stage.sql(&format!("create schema app; {}", event_table("app.audit"))).await;
    stage.migrate().await;
    let _relay = stage.relay();
    stage.ready(200).await;
    Numbered { rows: 10, keys: 2 }.insert(&stage).await;
    stage.drained().await;
    assert_eq!(get(&stage, "/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(get(&stage, "/readyz?verbose").await, (200, "orders: ok\naudit: ok\n".to_owned()));
    let status: Value = eventually(LIMIT, "the backlog to be known", async || {
        let status: Value = serde_json::from_str(&get(&stage, "/status").await.1).expect("JSON");
        let known = status["outboxes"]
            .as_array()
            .is_some_and(|all| all.iter().all(|one| one["backlog_events"] == 0.0));
        known.then_some(status)
    })
    .await
    .expect("a status");
    let orders = &status["outboxes"][0];
    assert_eq!(
        (&orders["outbox"], &orders["delivered"], &orders["problem"]),
        (&"orders".into(), &10.into(), &Value::Null)
    );
    assert_eq!(
        (&orders["slots_owned"], &orders["generation"]),
        (&64.into(), &1.into()),
        "{status}"
    );
    assert_eq!(
        (&status["draining"], &status["version"]),
        (&false.into(), &env!("CARGO_PKG_VERSION").into())
    );
    stage.redis.kill().await.expect("its end");
    Numbered { rows: 1, keys: 1 }.insert(&stage).await;
    stage.ready(503).await;
    // Each outbox finds out by itself, in either order.
    let both = eventually(LIMIT, "both outboxes' words", async || {
        let (code, text) = get(&stage, "/readyz?verbose").await;
        let lines: Vec<&str> = text.lines().collect();
        let told = |line: &&str| {
            ["orders: ", "audit: "].iter().any(|name| line.starts_with(name))
                && line.contains("no connection to Redis")
        };
        (code == 503 && lines.len() == 2 && lines.iter().all(told)).then_some(text)
    })
    .await;
    let text = match both {
        Ok(text) => text,
        Err(error) => panic!("{error}: {:?}", get(&stage, "/readyz?verbose").await),
    };
    assert!(!text.contains("Os {") && !text.contains("kind: "), "{text}");
    assert_eq!(get(&stage, "/livez").await.0, 200, "waiting for a server is alive");
}

/// Twenty thousand events are a handful of lines.
#[tokio::test]
async fn the_log_has_a_line_a_minute_and_none_for_an_event() {
    let stage = Stage::new(&outbox("")).await;
    let relay = stage.relay();
    Numbered { rows: 20_000, keys: 7 }.insert(&stage).await;
    stage.drained().await;
    let line = eventually(Duration::from_mins(2), "the summary", async || {
        relay.log().lines().find(|line| line.contains("the last minute")).map(str::to_owned)
    })
    .await
    .expect("a summary");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(
        (&line["delivered"], &line["outbox"], &line["backlog"]),
        (&20_000.into(), &"orders".into(), &0.0.into())
    );
    let log = relay.log();
    let told = log.lines().filter(|line| line.contains("\"level\":\"INFO\"")).count();
    assert!(told < 15, "{told} lines: {log}");
}

/// Many attempts in vain are one line for each reason, and their number when it is over.
#[tokio::test]
async fn what_repeats_is_counted_in_the_log() {
    let mut stage = Stage::new(&outbox("")).await;
    let relay = stage.relay();
    stage.ready(200).await;
    stage.redis.kill().await.expect("its end");
    Numbered { rows: 1, keys: 1 }.insert(&stage).await;
    // Pauses begin at a tenth of a second: by then there were several attempts.
    eventually(LIMIT, "some attempts", async || {
        let status: Value = serde_json::from_str(&get(&stage, "/status").await.1).expect("JSON");
        status["outboxes"][0]["problem_seconds"].as_u64().is_some_and(|seconds| seconds >= 3)
    })
    .await
    .expect("attempts");
    stage.redis.start_again().await.expect("Redis");
    stage.drained().await;
    let line = |log: &str, words: &str| -> Vec<Value> {
        log.lines()
            .filter(|line| line.contains(words))
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    };
    let over =
        eventually(LIMIT, "the end of it", async || line(&relay.log(), "delivering again").pop())
            .await
            .expect("a line");
    let attempts = over["attempts"].as_u64().expect("a count");
    let told = line(&relay.log(), "cannot deliver");
    let reasons: std::collections::BTreeSet<&str> =
        told.iter().filter_map(|line| line["reason"].as_str()).collect();
    assert!(attempts >= 2 && told.len() == reasons.len(), "{attempts} attempts, {told:?}");
}
