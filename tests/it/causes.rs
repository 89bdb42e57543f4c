//! Why nothing is delivered is told by `outflow status`, from the databases alone, and by
//! `run --once` while it waits.

use outflow_local::{Signal, eventually};
use serde_json::Value;

use crate::support::{LIMIT, Numbered, Stage, outbox};

const ONE: &str = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
    ('order', 'a', 'T', '{}')";

async fn orders(stage: &Stage) -> Value {
    stage.asked(&["status", "--json"]).await.json().remove(0)["outboxes"][0].take()
}

/// Waits until a cause has these words; returns the outbox's status.
async fn caused(stage: &Stage, words: &str) -> Value {
    eventually(LIMIT, &format!("a cause with {words:?}"), async || {
        let orders = orders(stage).await;
        orders["causes"].to_string().contains(words).then_some(orders)
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn a_full_redis_is_named_and_forgotten() {
    let stage = Stage::new(&outbox("")).await;
    let _relay = stage.relay();
    stage.ready(200).await;
    stage.command("CONFIG", &["SET", "maxmemory", "1"]).await;
    stage.sql(ONE).await;
    let full = caused(&stage, "OOM").await;
    let problem = &full["members"][0]["problem"];
    assert!(
        problem["since"].as_str().is_some_and(|since| since.parse::<jiff::Timestamp>().is_ok()),
        "{full}"
    );
    let text = stage.asked(&["status"]).await.data();
    for word in ["cause", "relay #1 on", "OOM", "since 20", "delivers nothing"] {
        assert!(text.contains(word), "{text} has no {word:?}");
    }
    stage.command("CONFIG", &["SET", "maxmemory", "0"]).await;
    stage.drained().await;
    eventually(LIMIT, "no cause", async || {
        let orders = orders(&stage).await;
        orders["causes"] == serde_json::json!([]) && orders["members"][0]["problem"].is_null()
    })
    .await
    .expect("it to be over");
}

#[tokio::test]
async fn a_redis_that_is_down_is_named_and_a_postgres_that_is_down_in_the_text() {
    let mut stage = Stage::new(&outbox("")).await;
    let _relay = stage.relay();
    stage.ready(200).await;
    stage.redis.kill().await.expect("its end");
    stage.sql(ONE).await;
    eventually(LIMIT, "the cause", async || {
        let said = stage.asked(&["status", "--json"]).await;
        let status: Value = serde_json::from_str(said.stdout.lines().next()?).ok()?;
        (!status["outboxes"][0]["members"][0]["problem"].is_null()).then_some(())
    })
    .await
    .expect("the member to say it");
    stage.postgres.stop_fast().await.expect("its end");
    let said = stage.asked(&["status"]).await;
    assert_eq!(said.code, Some(69));
    assert!(
        said.stdout.contains("Postgres cannot be reached: ") && said.stdout.contains("unknown"),
        "{said:?}"
    );
}

/// A frozen Redis closes no connection. It is named long before the relay gives the answer up.
#[tokio::test]
async fn a_silent_redis_is_named_while_an_event_waits_for_its_answer() {
    let mut stage = Stage::new(&outbox("")).await;
    let relay = stage.relay();
    stage.ready(200).await;
    stage.sql(ONE).await;
    stage.drained().await;
    stage.redis.signal(Signal::SIGSTOP);
    stage.sql(ONE).await;
    let told = "select count(*) from outflow.member where report -> 'problem' ->> 'reason' = \
        'Redis has not answered for 5 s'";
    let told = eventually(LIMIT, "the report", async || stage.number(told).await == 1).await;
    stage.redis.signal(Signal::SIGCONT);
    told.unwrap_or_else(|error| panic!("{error}: {}", relay.log_tail()));
    stage.drained().await;
    eventually(LIMIT, "no cause", async || orders(&stage).await["causes"] == serde_json::json!([]))
        .await
        .expect("it to be over");
}

#[tokio::test]
async fn no_relay_a_standby_and_somebody_elses_locks_are_causes() {
    let stage = Stage::new(&outbox("")).await;
    stage.sql(ONE).await;
    assert!(orders(&stage).await["causes"].to_string().contains("no relay is at work"));
    let holder = stage.client().await;
    holder
        .batch_execute("set application_name = 'shop'; begin; select from outbox for update")
        .await
        .expect("locks");
    let mut old = stage.member("old");
    stage.shared_by(1).await;
    let held = caused(&stage, "holds locks on public.outbox").await;
    assert!(held["causes"][0].as_str().is_some_and(|cause| cause.contains("shop")), "{held}");
    holder.batch_execute("commit").await.expect("its end");
    stage.drained().await;

    stage.configure(&outbox("format = \"payload\""));
    let _new = stage.member("new");
    eventually(LIMIT, "a standby", async || {
        let orders = orders(&stage).await;
        orders["members"][1]["standby"]["reason"]
            .as_str()
            .is_some_and(|why| why.contains("another configuration"))
    })
    .await
    .expect("the standby to say so");
    assert_eq!(orders(&stage).await["causes"], serde_json::json!([]), "one relay is at work");
    old.terminate();
    assert!(old.wait(LIMIT).await.expect("an end").success(), "{}", old.log_tail());
    eventually(LIMIT, "it to be at work", async || {
        let members = orders(&stage).await["members"].take();
        members.as_array().is_some_and(|all| {
            all.len() == 1 && all[0]["standby"].is_null() && all[0]["slots"] == 64
        })
    })
    .await
    .expect("no standby");
}

/// Rows that wait for a stream that refuses them are not backlog that a faster relay would take
/// away.
#[tokio::test]
async fn parked_events_are_told_from_backlog() {
    let stage = Stage::new(&outbox("")).await;
    for stream in ["events.bad", "events.worse"] {
        stage.command("SET", &[stream, "no stream"]).await;
    }
    let _relay = stage.relay();
    stage.ready(200).await;
    let rows = |kind: &str, count: i64| {
        format!(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
             select '{kind}', 'k' || i, 'T', '{{}}' from generate_series(1, {count}) i"
        )
    };
    stage.sql(&format!("{};{};{}", rows("bad", 7), rows("order", 5), rows("worse", 3))).await;
    stage.reaches("events.order", 5).await;
    let seen = eventually(LIMIT, "two parked streams", async || {
        let orders = orders(&stage).await;
        orders["parked"].as_array().is_some_and(|parked| parked.len() == 2).then_some(orders)
    })
    .await
    .expect("reports");
    let counts: Vec<(&str, i64)> = seen["parked"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|parked| {
            (
                parked["stream"].as_str().expect("a name"),
                parked["events"].as_i64().expect("a count"),
            )
        })
        .collect();
    assert_eq!(counts, [("events.bad", 7), ("events.worse", 3)]);
    assert_eq!(
        (&seen["parked_events"], &seen["backlog_events"]),
        (&10.into(), &10.into()),
        "{seen}"
    );
    let text = stage.asked(&["status"]).await.data();
    for word in [
        "10 events (10 of them for parked streams)",
        "7 events wait",
        "wait for streams that refuse them",
    ] {
        assert!(text.contains(word), "{text} has no {word:?}");
    }
}

/// More streams may refuse than a report names: then what is counted is a lower bound, and says so.
#[tokio::test]
async fn more_parked_streams_than_are_named() {
    let stage = Stage::new(&outbox("")).await;
    for number in 1..=120 {
        stage.command("SET", &[&format!("events.bad{number}"), "no stream"]).await;
    }
    let _relay = stage.relay();
    stage.ready(200).await;
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
             select 'bad' || i, 'k', 'T', '{}' from generate_series(1, 120) i",
        )
        .await;
    let seen = eventually(LIMIT, "all of them", async || {
        let orders = orders(&stage).await;
        (orders["parked_unnamed"] == 20).then_some(orders)
    })
    .await
    .expect("120 parked streams");
    assert_eq!((&seen["parked_events"], &seen["backlog_events"]), (&100.into(), &120.into()));
    let text = stage.asked(&["status"]).await.data();
    for word in [
        "(at least 100 of them for parked streams)",
        "and 20 more streams",
        "at least 100 events wait",
    ] {
        assert!(text.contains(word), "{text} has no {word:?}");
    }
    assert!(!text.contains("not held up"), "{text}");
}

/// What a relay parked before it examined its table again is no more than a memory.
#[tokio::test]
async fn a_stream_that_is_mended_while_the_table_changes_is_not_parked() {
    let stage = Stage::new(&outbox("")).await;
    stage.command("SET", &["events.bad", "no stream"]).await;
    let relay = stage.relay();
    stage.ready(200).await;
    stage.sql(&ONE.replace("'order'", "'bad'")).await;
    eventually(LIMIT, "a parked stream", async || {
        orders(&stage).await["parked"][0]["stream"] == "events.bad"
    })
    .await
    .expect("it to be parked");
    let owner = stage.client().await;
    owner
        .batch_execute("begin; alter table outbox alter column payload type text")
        .await
        .expect("a lock");
    stage.command("DEL", &["events.bad"]).await;
    owner.batch_execute("commit").await.expect("its end");
    stage.reaches("events.bad", 1).await;
    assert!(relay.log().contains("examining it again"), "{}", relay.log_tail());
    eventually(LIMIT, "no parked stream", async || {
        let is_over = orders(&stage).await["parked"] == serde_json::json!([]);
        is_over && stage.metrics().await.contains("outflow_streams_parked{outbox=\"orders\"} 0\n")
    })
    .await
    .expect("it to be forgotten");
}

#[tokio::test]
async fn a_single_drain_says_what_it_waits_for() {
    let stage = Stage::new(&outbox("")).await;
    Numbered { rows: 20, keys: 3 }.insert(&stage).await;
    stage.command("CONFIG", &["SET", "maxmemory", "1"]).await;
    let mut once =
        stage.outflow_with("once", &["run", "--once"], &[("OUTFLOW_LOG__LEVEL", "warn")]);
    eventually(LIMIT, "the cause and how many are left", async || {
        let log = once.log();
        log.lines().any(|line| {
            line.contains("cannot deliver and keeps retrying")
                && line.contains("OOM")
                && line.contains("20")
        })
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {}", once.log_tail()));
    // Whoever asks from elsewhere sees the same.
    caused(&stage, "OOM").await;
    stage.command("CONFIG", &["SET", "maxmemory", "0"]).await;
    assert!(once.wait(LIMIT).await.expect("an end").success(), "{}", once.log_tail());
}
