//! Pausing an outbox or a stream: who heeds it, when it ends, and what stays in order.

mod commands;
mod shown;
mod streams;

use outflow_local::{Program, eventually};

use crate::support::{LIMIT, Numbered, Stage, outbox};

const PAUSED: &str = "paused: no events are claimed";

/// Waits until a relay has heeded so many pauses.
pub(crate) async fn heeds(relay: &Program, pauses: usize) {
    let what = format!("{} to heed {pauses} pauses", relay.name());
    let heeded = async || relay.log().matches(PAUSED).count() >= pauses;
    let heeded = eventually(LIMIT, &what, heeded).await;
    heeded.unwrap_or_else(|error| panic!("{error}\n{}", relay.log_tail()));
}

/// Waits until a member that had time to deliver them sees so many events wait.
async fn waiting(stage: &Stage, events: u32) {
    let what = format!("{events} events to wait");
    let wait = async || {
        let url = format!("http://127.0.0.1:{}/status", stage.admin_port);
        let text = reqwest::get(&url).await.ok()?.text().await.ok()?;
        let status: serde_json::Value = serde_json::from_str(&text).ok()?;
        (status["outboxes"][0]["backlog_events"] == serde_json::json!(f64::from(events)))
            .then_some(())
    };
    eventually(LIMIT, &what, wait).await.expect("a backlog");
}

/// With `poll_interval` at an hour, the notification alone, or the look each second, tells them.
/// Whoever starts meanwhile keeps to it, and nobody takes it for an outage.
#[tokio::test]
async fn a_paused_outbox_waits_on_every_member_and_through_restarts() {
    let rows = Numbered { rows: 2_000, keys: 53 };
    let stage = Stage::new(&outbox("batch_rows = 20\npoll_interval = \"1h\"")).await;
    let mut relay = stage.relay();
    let (mut old, other) = (stage.member("old"), stage.member("other"));
    stage.shared_by(3).await;
    stage.asked(&["pause", "--outbox", "orders", "--why", "upgrade of Redis"]).await.data();
    for member in [&relay, &old, &other] {
        heeds(member, 1).await;
    }
    rows.insert(&stage).await;
    old.kill();
    let new = stage.member("new");
    heeds(&new, 1).await;
    stage.shared_by(3).await;
    waiting(&stage, 2_000).await;
    assert_eq!(stage.length("events.order").await, 0);
    assert_eq!(stage.ready(200).await, "ok\n", "paused is ready");
    for member in [&relay, &new, &other] {
        assert!(!member.log().contains("ERROR"), "{}", member.log_tail());
    }
    let resumed = stage.asked(&["resume"]).await.data();
    assert!(resumed.contains("orders: resumed; it was paused since"), "{resumed}");
    stage.drained().await;
    rows.check(&stage, "events.order").await;
    // A relay that stops does not wait for the end of a pause.
    stage.asked(&["pause", "--why", "again"]).await.data();
    heeds(&relay, 2).await;
    relay.terminate();
    assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
}

/// Under load: what is in flight is finished, nothing is lost, doubled or out of order.
#[tokio::test]
async fn pauses_in_the_middle_of_a_backlog_disorder_nothing() {
    let rows = Numbered { rows: 20_000, keys: 97 };
    let stage = Stage::new(&outbox("batch_rows = 20")).await;
    let members = [stage.member("one"), stage.member("two")];
    stage.shared_by(2).await;
    rows.insert(&stage).await;
    for round in 1..=3 {
        stage.reaches("events.order", i64::try_from(round).expect("few") * 2_000).await;
        stage.asked(&["pause", "--why", "for a moment"]).await.data();
        for member in &members {
            heeds(member, round).await;
        }
        stage.asked(&["resume"]).await.data();
    }
    stage.drained().await;
    rows.check(&stage, "events.order").await;
}

/// Neither a notification nor a command: a row is enough, and it ends by the clock of Postgres.
#[tokio::test]
async fn a_lost_notification_and_the_end_of_a_pause_are_noticed_by_themselves() {
    let stage = Stage::new(&outbox("poll_interval = \"1h\"")).await;
    let relay = stage.relay();
    stage.ready(200).await;
    let pause = "insert into outflow.pause (relation, why, os_user, host) select relation, 'by \
        hand', 'ada', 'here' from outflow.outbox";
    stage.sql(pause).await;
    heeds(&relay, 1).await;
    let one = Numbered { rows: 1, keys: 1 };
    one.insert(&stage).await;
    stage.sql("update outflow.pause set until = clock_timestamp() + interval '1 s'").await;
    stage.drained().await;
    let log = relay.log();
    let over = "the pause is over: resuming";
    assert!(log.contains(over), "{log}");
    let is_over = stage.number("select count(*) from outflow.pause where until < now()").await;
    assert_eq!(is_over, 1, "not before its end");
    let asked = stage.asked(&["pause", "--why", "a short one", "--for", "1s"]).await.data();
    assert!(asked.contains(" until 20"), "{asked}");
    one.insert(&stage).await;
    stage.drained().await;
    let resume = stage.asked(&["resume"]).await;
    assert_eq!(resume.code, Some(1), "{resume:?}");
    assert!(resume.stderr.contains("orders is not paused; the pause of orders was over at 20"));
}

/// The servers may be under maintenance: a pause is no outage, and afterwards everything comes.
#[tokio::test]
async fn redis_may_be_away_during_a_pause() {
    let mut stage = Stage::new(&outbox("")).await;
    let relay = stage.relay();
    stage.ready(200).await;
    stage.asked(&["pause", "--why", "upgrade of Redis"]).await.data();
    heeds(&relay, 1).await;
    stage.redis.stop().await.expect("a stop");
    let one = Numbered { rows: 1, keys: 1 };
    one.insert(&stage).await;
    waiting(&stage, 1).await;
    assert_eq!(stage.ready(200).await, "ok\n");
    // Who pauses needs no Redis.
    stage.asked(&["pause", "--why", "it takes longer"]).await.data();
    stage.redis.start_again().await.expect("a start");
    stage.asked(&["resume"]).await.data();
    stage.drained().await;
    one.check(&stage, "events.order").await;
}

const TWO: &str = "[[outbox]]\nname = \"bills\"\ntable = \"public.bills\"\nstream = \
    \"events.{aggregate_type}\"\n";

/// `--once` neither hangs nor claims success; an outbox that is not paused is drained all the same.
#[tokio::test]
async fn once_says_that_an_outbox_is_paused() {
    let stage = Stage::new(&outbox("")).await;
    stage.sql("create table bills (like outbox including all)").await;
    stage.configure(&(outbox("") + TWO));
    stage.migrate().await;
    let rows = Numbered { rows: 500, keys: 7 };
    rows.insert(&stage).await;
    rows.insert_into(&stage, "bills").await;
    stage.asked(&["pause", "--outbox", "orders", "--why", "the books are closed"]).await.data();
    for rest in [500, 500] {
        let (code, log) = stage.finished("once", &["run", "--once"]).await;
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains("outbox \"orders\" is paused since 20"), "{log}");
        assert!(log.contains("the books are closed; its events were not drained"), "{log}");
        assert_eq!(stage.number("select count(*) from bills").await, 0, "{log}");
        assert_eq!(stage.number("select count(*) from outbox").await, rest);
    }
    stage.asked(&["resume", "--outbox", "orders"]).await.data();
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 1_000);
}
