//! A row's time may be anything: it spoils no metric and hides no event that is stuck.

use outflow_local::eventually;
use serde_json::Value;

use crate::support::{LIMIT, Stage, outbox};

fn series(metrics: &str, name: &str) -> f64 {
    let values = metrics
        .lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit(' ').next());
    values.map(|value| value.parse::<f64>().expect("a number")).sum()
}

fn event(kind: &str, time: &str) -> String {
    format!(
        "insert into outbox (aggregate_type, aggregate_id, event_type, payload, created_at) \
         values ('{kind}', 'a', 'T', '{{}}', {time})"
    )
}

#[tokio::test]
async fn a_far_off_time_is_counted_not_summed() {
    let stage = Stage::new(&outbox("")).await;
    let _relay = stage.relay();
    stage.ready(200).await;
    let times = ["'0001-01-01'", "'1970-01-01'", "now() + interval '1 day'", "'9000-01-01'"];
    for (time, delivered) in times.iter().zip(1..) {
        stage.sql(&event("order", time)).await;
        stage.reaches("events.order", delivered).await;
    }
    stage.sql(&event("order", "now() - interval '90 s'")).await;
    stage.reaches("events.order", 5).await;
    eventually(LIMIT, "five to be counted", async || {
        let metrics = stage.metrics().await;
        let counts = ["future", "past", "unreadable"].map(|reason| {
            series(
                &metrics,
                &format!(
                    "outflow_implausible_times_total{{outbox=\"orders\",reason=\"{reason}\"}}"
                ),
            )
        });
        let sum = series(&metrics, "outflow_delivery_seconds_sum");
        format!("{counts:?}") == "[2.0, 2.0, 0.0]"
            && metrics.contains("outflow_delivery_seconds_count{outbox=\"orders\"} 1\n")
            && (90.0..3_600.0).contains(&sum)
    })
    .await
    .expect("one observation");
    for time in ["'-infinity'", "'infinity'"] {
        stage.sql(&event("order", time)).await;
        stage.drained().await;
    }
    let metrics = stage.metrics().await;
    assert!(series(&metrics, "outflow_delivery_seconds_sum") < 3_600.0, "{metrics}");
    assert!(series(&metrics, "outflow_oldest_event_age_seconds") < 3_600.0, "{metrics}");
}

/// The age comes from how long a row has been first in line as well, which no row can lie about.
#[tokio::test]
async fn a_time_in_the_future_does_not_hide_a_stuck_event() {
    for time in ["now() + interval '10 years'", "'-infinity'", "'infinity'", "'0001-01-01'"] {
        let stage = Stage::new(&outbox("")).await;
        stage.sql(&event("order", time)).await;
        // Somebody's lock keeps it where it is.
        let holder = stage.client().await;
        holder.batch_execute("begin; select from outbox for update").await.expect("a lock");
        let _relay = stage.relay();
        eventually(LIMIT, &format!("{time} to age"), async || {
            let metrics = reqwest::get(format!("http://127.0.0.1:{}/metrics", stage.admin_port))
                .await
                .ok()?;
            let age = series(&metrics.text().await.ok()?, "outflow_oldest_event_age_seconds");
            (3.0..600.0).contains(&age).then_some(())
        })
        .await
        .expect("an age");
        if time.starts_with("now()") {
            // A command has no memory; the relay lends its own.
            eventually(LIMIT, "status to tell the age", async || {
                let status = stage.asked(&["status", "--json"]).await.json().remove(0);
                status["outboxes"][0]["oldest_event_age_seconds"]
                    .as_f64()
                    .is_some_and(|age| (10.0..600.0).contains(&age))
            })
            .await
            .expect("an age");
            let text = stage.asked(&["status"]).await.data();
            assert!(!text.contains("unknown age"), "{text}");
        }
    }
}

/// What cannot be looked at is neither nothing nor what it was.
#[tokio::test]
async fn without_postgres_backlog_and_age_are_unknown() {
    let mut stage = Stage::new(&outbox("")).await;
    stage.command("SET", &["events.bad", "no stream"]).await;
    stage.sql(&event("bad", "now() - interval '1 hour'")).await;
    let _relay = stage.relay();
    stage.ready(200).await;
    let names = ["oldest_event_age_seconds", "backlog_events", "dead_letters"];
    let unknown =
        |metrics: &str| names.map(|name| series(metrics, &format!("outflow_{name}{{")).is_nan());
    eventually(LIMIT, "numbers", async || unknown(&stage.metrics().await) == [false; 3])
        .await
        .expect("numbers");
    stage.postgres.stop_fast().await.expect("its end");
    eventually(LIMIT, "NaN", async || unknown(&stage.metrics().await) == [true; 3])
        .await
        .expect("NaN");
    let status: Value = reqwest::get(format!("http://127.0.0.1:{}/status", stage.admin_port))
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert!(status["outboxes"][0]["backlog_events"].is_null(), "{status}");
    stage.postgres.start_again().await.expect("Postgres");
    eventually(LIMIT, "a backlog again", async || {
        let metrics = stage.metrics().await;
        metrics.contains("outflow_backlog_events{outbox=\"orders\"} 1\n")
            && series(&metrics, "outflow_oldest_event_age_seconds{") > 3_600.0
    })
    .await
    .expect("numbers");
}
