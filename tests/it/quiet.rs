//! `notify = false`: a trigger that wakes nobody, for writers that use two-phase commit.

use outflow_local::eventually;

use crate::support::{LIMIT, Stage, outbox};

const QUIET: &str = "poll_interval = \"50ms\"\nnotify = false";
const FUNCTION: &str = "select count(*) from pg_trigger where tgname = 'outflow_wake' and \
    tgenabled = 'A' and tgfoid =";

fn prepare(n: i64) -> String {
    format!(
        "begin; insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
            ('order', 'k', 'T', '{{\"n\": {n}}}'); \
         prepare transaction 'p{n}'"
    )
}

async fn relay_sleeps(stage: &Stage) {
    let what = "the relay to sleep";
    let sleeps = async || stage.metrics().await.contains("outflow_asleep{outbox=\"orders\"} 1");
    eventually(LIMIT, what, sleeps).await.expect(what);
}

/// Each while the relay sleeps; the events are found by polling, and in order.
#[tokio::test]
async fn writers_may_prepare_transactions_while_the_relay_sleeps() {
    let stage = Stage::new(&outbox(QUIET)).await;
    let _relay = stage.relay();
    stage.ready(200).await;
    for n in 0..50 {
        relay_sleeps(&stage).await;
        stage.sql(&prepare(n)).await;
        stage.sql(&format!("commit prepared 'p{n}'")).await;
    }
    stage.reaches("events.order", 50).await;
    let entries = stage.entries("events.order").await;
    for (n, entry) in entries.iter().enumerate() {
        assert_eq!(entry.field("payload"), format!("{{\"n\": {n}}}"));
    }
    let asked = stage.asked(&["check"]).await;
    assert!(asked.stdout.contains("notify = false"), "{}", asked.stdout);
    assert!(asked.stdout.contains("gets its number before its ids"), "{}", asked.stdout);
}

/// `migrate` follows the setting both ways, and leaves the trigger alone if it is the right one, or
/// disabled.
#[tokio::test]
async fn migrate_switches_both_ways() {
    let stage = Stage::new(&outbox("")).await;
    let row = "select xmin::text::bigint from pg_trigger where tgname = 'outflow_wake'";
    for (more, function) in
        [("", "number_and_wake"), ("notify = false", "number"), ("", "number_and_wake")]
    {
        stage.configure(&outbox(more));
        for plain in [true, false] {
            let args = if plain { &["migrate"][..] } else { &["migrate", "--triggers"] };
            let (code, log) = stage.finished("migrate", args).await;
            assert_eq!(code, Some(0), "{log}");
            assert_eq!(
                stage.number(&format!("{FUNCTION} 'outflow.{function}()'::regprocedure")).await,
                1,
                "{more}"
            );
        }
        let before = stage.number(row).await;
        stage.migrate().await;
        assert_eq!(stage.number(row).await, before, "it is left alone");
    }
    stage.configure(&outbox("notify = false"));
    let asked = stage.asked(&["check"]).await;
    assert!(asked.stdout.contains("trigger notifies although"), "{}", asked.stdout);
    stage.sql("alter table outbox disable trigger outflow_wake").await;
    stage.migrate().await;
    assert_eq!(
        stage
            .number(
                "select count(*) from pg_trigger where tgname = 'outflow_wake' and tgenabled = 'D'"
            )
            .await,
        1
    );
}

/// What the default costs them, and why there is another: the trigger that notifies refuses it.
#[tokio::test]
async fn the_trigger_that_notifies_refuses_them_while_the_relay_sleeps() {
    let stage = Stage::new(&outbox("poll_interval = \"1h\"")).await;
    let _relay = stage.relay();
    stage.ready(200).await;
    relay_sleeps(&stage).await;
    let refused = stage.client().await.batch_execute(&prepare(0)).await;
    assert!(refused.is_err_and(|error| format!("{error:?}").contains("NOTIFY")));
}
