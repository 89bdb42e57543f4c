//! `outflow status` and the metrics of how far behind an outbox is.

use outflow::observe::backlog::{BEGINNING, Backlog};
use outflow_local::eventually;
use serde_json::Value;

use crate::support::{LIMIT, Numbered, Stage, outbox};

async fn status(stage: &Stage) -> Value {
    stage.asked(&["status", "--json"]).await.json().remove(0)
}

#[tokio::test]
async fn it_needs_no_relay_and_says_who_is_at_work() {
    let stage = Stage::new(&outbox("event_bytes_max = \"300B\"")).await;
    let before = status(&stage).await;
    let orders = &before["outboxes"][0];
    assert_eq!(
        (
            &orders["backlog_events"],
            &orders["oldest_event_age_seconds"],
            &orders["generation"],
            &orders["members"]
        ),
        (&Value::from(0), &Value::from(0.0), &Value::from(0), &Value::Array(vec![])),
        "{orders}"
    );
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload, created_at) \
                values \
             ('order', 'a', 'T', '{}', now() - interval '1 hour'), ('bill', 'a', 'T', '{}', \
             now()), \
             ('', 'a', 'T', '{}', now()), ('order', 'a', 'T', to_jsonb(repeat('x', 400)), now())",
        )
        .await;
    let waiting = status(&stage).await;
    let orders = &waiting["outboxes"][0];
    assert_eq!(orders["backlog_events"], 4, "{orders}");
    let age = orders["oldest_event_age_seconds"].as_f64().expect("an age");
    assert!((3_600.0..3_700.0).contains(&age), "{age}");

    let mut relay = stage.relay();
    stage.drained().await;
    stage.command("XGROUP", &["CREATE", "events.order", "billing", "0"]).await;
    stage.command("XADD", &["events.order", "*", "a", "b"]).await;
    stage
        .command(
            "XREADGROUP",
            &["GROUP", "billing", "one", "COUNT", "1", "STREAMS", "events.order", ">"],
        )
        .await;
    let at_work = status(&stage).await;
    let orders = &at_work["outboxes"][0];
    assert_eq!(orders["members"][0]["pid"], relay.pid(), "{orders}");
    assert_eq!(orders["generation"], 1, "{orders}");
    let reasons: Vec<(&str, i64)> = orders["dead_letters"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|dead| {
            (dead["reason"].as_str().expect("a reason"), dead["letters"].as_i64().expect("a count"))
        })
        .collect();
    assert_eq!(reasons, [("no_stream", 1), ("too_large", 1)]);
    let expected = serde_json::json!([
        {"name": "events.bill", "length": 1, "groups": []},
        {
            "name": "events.order",
            "length": 2,
            "groups": [{"name": "billing", "consumers": 1, "pending": 1, "lag": 1}],
        },
    ]);
    assert_eq!(orders["streams"], expected);
    let text = stage.asked(&["status"]).await.data();
    for word in
        ["orders", "empty", "#1 with 64 slots on", "1 × too_large", "events.bill", "billing"]
    {
        assert!(text.contains(word), "{text} has no {word:?}");
    }
    relay.kill();
    eventually(LIMIT, "the seat to be free", async || {
        status(&stage).await["outboxes"][0]["members"].as_array().is_some_and(Vec::is_empty)
    })
    .await
    .expect("no member");
}

/// From the databases alone: how fast it goes, and what is parked, why, and when it is tried again.
#[tokio::test]
async fn members_say_how_they_fare() {
    let stage = Stage::new(&outbox("")).await;
    stage.command("SET", &["events.bad", "no stream"]).await;
    assert_eq!(
        status(&stage).await["outboxes"][0]["events_per_second"],
        Value::Null,
        "nobody is at work"
    );
    let (mut one, _two) = (stage.member("one"), stage.member("two"));
    stage.shared_by(2).await;
    let rows = |kind: &str, count: i64| {
        format!(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
             select '{kind}', 'k' || i, 'T', '{{}}' from generate_series(1, {count}) i"
        )
    };
    // Enough keys for both members to meet the refusal, and enough events for both to show a pace.
    stage.sql(&rows("bad", 100)).await;
    let seen = eventually(LIMIT, "a pace and a parked stream", async || {
        stage.sql(&rows("order", 2_000)).await;
        let status = status(&stage).await;
        let orders = &status["outboxes"][0];
        let pace = orders["events_per_second"].as_f64().is_some_and(|pace| pace > 0.0);
        let members = orders["members"].as_array().expect("members").iter();
        let both = members.filter(|member| member["events_per_second"].is_f64()).count() == 2;
        (pace && both && orders["parked"].as_array().is_some_and(|parked| !parked.is_empty()))
            .then(|| orders.clone())
    })
    .await
    .expect("reports");
    let parked = &seen["parked"];
    assert_eq!(
        (parked.as_array().map(Vec::len), &parked[0]["stream"]),
        (Some(1), &"events.bad".into()),
        "{parked}"
    );
    assert!(
        parked[0]["reason"].as_str().is_some_and(|reason| reason.starts_with("WRONGTYPE")),
        "{parked}"
    );
    let time = |key: &str| {
        parked[0][key].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()).expect(key)
    };
    assert!(time("since") <= time("next_probe"), "{parked}");
    let text = stage.asked(&["status"]).await.data();
    for word in ["parked", "events.bad since ", ": WRONGTYPE", "attempt", "pace", "events/s"] {
        assert!(text.contains(word), "{text} has no {word:?}");
    }
    // What is over is said too, and nothing at all while nothing happens.
    stage.command("DEL", &["events.bad"]).await;
    eventually(LIMIT, "the stream to be taken up again", async || {
        let status = status(&stage).await;
        let orders = &status["outboxes"][0];
        orders["parked"] == serde_json::json!([]) && orders["events_per_second"] == 0.0
    })
    .await
    .expect("nothing parked");
    one.kill();
    eventually(LIMIT, "one member less", async || {
        status(&stage).await["outboxes"][0]["members"]
            .as_array()
            .is_some_and(|members| members.len() == 1)
    })
    .await
    .expect("one member");
}

/// What is there is shown, what cannot be reached is named, and the exit code says so.
#[tokio::test]
async fn what_cannot_be_reached_is_named() {
    let mut stage = Stage::bare(&outbox("")).await;
    let unmigrated = status(&stage).await;
    let problems = unmigrated["outboxes"][0]["problems"].to_string();
    assert!(
        problems.contains("outflow migrate") && problems.contains("public.outbox"),
        "{problems}"
    );
    stage.migrate().await;
    stage.redis.kill().await.expect("its end");
    let half = stage.asked(&["status"]).await;
    assert_eq!(half.code, Some(69));
    assert!(half.stdout.contains("empty") && half.stderr.contains("Redis"), "{half:?}");
    stage.redis.start_again().await.expect("Redis");
    stage.postgres.stop_fast().await.expect("its end");
    let half = stage.asked(&["status", "--json"]).await;
    assert_eq!(half.code, Some(69));
    assert!(
        half.stdout.contains("\"backlog_events\":null") && half.stderr.contains("Postgres"),
        "{half:?}"
    );
}

fn shown<'a>(metrics: &'a str, name: &str) -> &'a str {
    let line = metrics
        .lines()
        .find(|line| line.starts_with(&format!("outflow_{name}{{outbox=\"orders\"}}")));
    line.and_then(|line| line.rsplit(' ').next()).expect("a series")
}

fn age(metrics: &str) -> f64 {
    shown(metrics, "oldest_event_age_seconds").parse().expect("a number")
}

/// What cannot be delivered waits and ages; while Postgres is away nobody knows; what was delivered
/// counts as nothing.
#[tokio::test]
async fn the_gauges_follow_the_table() {
    let mut stage = Stage::new(&outbox("")).await;
    stage.redis.kill().await.expect("its end");
    let _relay = stage.relay();
    stage.ready(503).await;
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload, created_at) \
             select 'order', 'a', 'T', '{}', now() - interval '1 hour' from generate_series(1, \
             100500)",
        )
        .await;
    eventually(LIMIT, "the backlog to be seen", async || {
        let metrics = stage.metrics().await;
        shown(&metrics, "backlog_events") == "100000" && age(&metrics) > 3_600.0
    })
    .await
    .expect("a backlog");
    let known = age(&stage.metrics().await);
    eventually(LIMIT, "it to age", async || age(&stage.metrics().await) > known + 3.0)
        .await
        .expect("age");
    stage.postgres.stop_fast().await.expect("its end");
    eventually(LIMIT, "it to be unknown", async || age(&stage.metrics().await).is_nan())
        .await
        .expect("NaN");
    stage.postgres.start_again().await.expect("Postgres");
    stage.redis.start_again().await.expect("Redis");
    eventually(LIMIT, "the backlog to be gone", async || {
        let metrics = stage.metrics().await;
        shown(&metrics, "backlog_events") == "0"
            && shown(&metrics, "oldest_event_age_seconds") == "0"
    })
    .await
    .expect("no backlog");
}

/// Rows that were deleted while an old transaction is open are not walked over by each look.
#[tokio::test]
async fn a_dead_prefix_costs_nothing() {
    let stage = Stage::new(&outbox("")).await;
    let old = stage.client().await;
    old.batch_execute("begin isolation level repeatable read; select 1 from outbox")
        .await
        .expect("a transaction");
    Numbered { rows: 50_000, keys: 3 }.insert(&stage).await;
    let _relay = stage.relay();
    stage.drained().await;
    stage.command("SET", &["events.bad", "no stream"]).await;
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
            ('bad', 'a', 'T', '{}')",
        )
        .await;
    eventually(LIMIT, "it to be seen", async || {
        shown(&stage.metrics().await, "backlog_events") == "1"
    })
    .await
    .expect("one event");
    let client = stage.client().await;
    client
        .batch_execute(include_str!("../../src/relay/outbox/sql/session.sql"))
        .await
        .expect("settings");
    let backlog = Backlog::prepare(&client, &config(&stage)).await.expect("a table");
    let look = backlog.look(&client, BEGINNING).await.expect("a look");
    let position = look.position.expect("a position").order;
    assert_eq!((look.events, position), (1, 50_001));
    let whole = pages(&client, &backlog, BEGINNING.order).await;
    let rest = pages(&client, &backlog, position).await;
    assert!(
        whole > 1_000 && rest < 20,
        "{whole} pages from the beginning, {rest} from where the last look ended"
    );
    old.batch_execute("commit").await.expect("its end");
}

/// Pages of memory that a look touches.
async fn pages(client: &tokio_postgres::Client, backlog: &Backlog, position: i64) -> i64 {
    let statement = backlog.statement().replace("$1", &format!("({position})"));
    let explain = format!("explain (analyze, buffers, format json) {statement}");
    let plan: Value = client.query_one(&explain, &[]).await.expect("a plan").get(0);
    let count = |name: &str| plan[0]["Plan"][name].as_i64().expect("a count");
    count("Shared Hit Blocks") + count("Shared Read Blocks")
}

fn config(stage: &Stage) -> outflow::relay::options::OutboxOptions {
    let source = outflow::config::Source { file: Some(stage.path().join("outflow.toml")) };
    outflow::config::load(&source).expect("a configuration").outboxes.remove(0)
}
