//! What waits in a kept outbox is what nobody has read, wherever it is counted.

use outflow_local::eventually;
use serde_json::Value;

use super::healing::{put_back, snapshot};
use super::kept_with;
use crate::support::{LIMIT, Numbered, Stage};

async fn status(stage: &Stage) -> Value {
    stage.asked(&["status", "--json"]).await.json()[0]["outboxes"][0].clone()
}

/// What `check` says of its read.
async fn tried(stage: &Stage) -> String {
    let asked = stage.asked(&["check", "--json"]).await;
    let said = asked.stdout.lines().find(|line| line.contains("unread rows"));
    said.unwrap_or_else(|| panic!("no trial: {}{}", asked.stdout, asked.stderr)).to_owned()
}

async fn shows(stage: &Stage, series: &str) {
    eventually(LIMIT, series, async || stage.metrics().await.contains(series))
        .await
        .expect("the series");
}

#[tokio::test]
async fn only_unread_rows_wait() {
    for layout in ["ring", "plain"] {
        let more = format!("batch_rows = 7\n[outbox.keep]\nlayout = \"{layout}\"");
        let stage = Stage::new(&kept_with(&more)).await;
        Numbered { rows: 50, keys: 5 }.insert(&stage).await;
        assert_eq!(status(&stage).await["backlog_events"], 50, "{layout}");
        let said = tried(&stage).await;
        assert!(said.contains("a read finds 50 unread rows"), "{layout}: {said}");
        stage.once().await;
        let drained = status(&stage).await;
        assert_eq!(drained["backlog_events"], 0, "{layout}: {drained}");
        assert_eq!(drained["oldest_event_age_seconds"], 0.0, "{layout}: {drained}");
        assert_eq!(drained["kept"]["positions"].as_array().map(Vec::len), Some(1), "{drained}");
        assert_eq!(drained["kept"]["positions"][0]["streams"], serde_json::json!([]));
        let said = tried(&stage).await;
        assert!(said.contains("a read finds 0 unread rows"), "{layout}: {said}");

        Numbered { rows: 7, keys: 1 }.insert(&stage).await;
        stage.sql("analyze outbox").await;
        let behind = status(&stage).await;
        assert_eq!(behind["backlog_events"], 7, "{layout}: {behind}");
        assert!(behind["oldest_event_age_seconds"].as_f64() > Some(0.0), "{layout}: {behind}");
        assert_eq!(behind["kept"]["rows_estimated"], 57, "{layout}: {behind}");
        let text = stage.asked(&["status"]).await.data();
        assert!(text.contains("about 57 rows") && text.contains("at batch "), "{text}");

        let _relay = stage.relay();
        stage.reaches("events.order", 57).await;
        shows(&stage, "outflow_backlog_events{outbox=\"orders\"} 0\n").await;
        shows(&stage, "outflow_oldest_event_age_seconds{outbox=\"orders\"} 0\n").await;
    }
}

/// They are among the first of many that are read.
#[tokio::test]
async fn events_of_a_paused_stream_are_counted() {
    let stage = Stage::new(&kept_with("poll_interval = \"50ms\"")).await;
    let _relay = stage.relay();
    stage.ready(200).await;
    stage.asked(&["pause", "--stream", "events.order", "--why", "schema"]).await.data();
    let paused = "outflow_paused{outbox=\"orders\",stream=\"events.order\"} 1";
    shows(&stage, paused).await;
    Numbered { rows: 9, keys: 3 }.insert(&stage).await;
    let other = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
        select 'stock', 'k', 'T', '{}' from generate_series(1, 300)";
    stage.sql(other).await;
    stage.reaches("events.stock", 300).await;
    let counted = eventually(LIMIT, "nine events to wait", async || {
        let status = status(&stage).await;
        (status["backlog_events"] == 9).then_some(status)
    });
    let status = counted.await.expect("a count");
    assert_eq!(status["paused"][0]["events"], 9, "{status}");
    assert_eq!(status["kept"]["positions"][0]["streams"][0], "events.order", "{status}");
    shows(&stage, "outflow_backlog_events{outbox=\"orders\"} 9\n").await;
    stage.asked(&["resume", "--stream", "events.order"]).await.data();
    Numbered { rows: 9, keys: 3 }.check_when_there(&stage).await;
    shows(&stage, "outflow_backlog_events{outbox=\"orders\"} 0\n").await;
}

impl Numbered {
    async fn check_when_there(&self, stage: &Stage) {
        stage.reaches("events.order", self.rows).await;
        self.check(stage, "events.order").await;
    }
}

#[tokio::test]
async fn healed_events_are_counted() {
    let mut stage = Stage::new(&kept_with("")).await;
    let _relay = stage.relay();
    stage.ready(200).await;
    shows(&stage, "outflow_events_healed_total{outbox=\"orders\"} 0\n").await;
    shows(&stage, "outflow_postgres_rollbacks_total{outbox=\"orders\"} 0\n").await;
    let old = snapshot(&mut stage, "old").await;
    Numbered { rows: 40, keys: 4 }.insert(&stage).await;
    stage.reaches("events.order", 40).await;
    // The copy of the position is what shows that something is missing.
    let client = stage.client().await;
    let copied = "select count(*) from outflow.position where batch > 0";
    eventually(LIMIT, "a copy", async || {
        client.query_one(copied, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) == 1)
    })
    .await
    .expect("a copy");
    put_back(&mut stage, &old).await;
    stage.reaches("events.order", 40).await;
    shows(&stage, "outflow_events_healed_total{outbox=\"orders\"} 40\n").await;
    Numbered { rows: 40, keys: 4 }.check(&stage, "events.order").await;
}
