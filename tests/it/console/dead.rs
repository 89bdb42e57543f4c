//! Dead letters of the relay: grouped, shown, retried and discarded: one, a group, or all of a
//! filter.

use outflow_local::eventually;

use super::{Browser, OPERATE, READ, console};
use crate::support::{LIMIT, Stage, outbox};

/// `letters` dead letters of a reason and type, of key `k1` and on.
async fn bury(stage: &Stage, letters: i64, reason: &str, stream: Option<&str>, kind: &str) {
    let stream = stream.map_or("null".to_owned(), |stream| format!("'{stream}'"));
    stage
        .sql(&format!(
            "insert into outflow.dead_letter (outbox, \"row\", event_id, key, type, time, payload, \
             stream, reason, detail, route) select 'orders', n::text, gen_random_uuid()::text, \
             'k' || n, '{kind}', '2026-01-01T00:00:00Z', \
             convert_to('{{\"n\":' || n || ',\"secret\":1}}', 'utf8'), \
             {stream}, '{reason}', 'because of ' || n, '{{\"aggregate_type\": \"order\"}}' from \
             generate_series(1, {letters}) n"
        ))
        .await;
}

async fn left(stage: &Stage) -> i64 {
    stage.number("select count(*) from outflow.dead_letter").await
}

/// 3 refused ones, 2 too large ones, and one without a stream.
async fn scene() -> Stage {
    let stage = Stage::new(&outbox("")).await;
    bury(&stage, 3, "refused", Some("events.order"), "Made").await;
    bury(&stage, 2, "too_large", Some("events.order"), "Sent").await;
    bury(&stage, 1, "no_stream", None, "Made").await;
    stage
}

#[tokio::test]
async fn they_are_grouped_and_shown() {
    let stage = scene().await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, READ).await;
    let all = browser.get("/dead-letters").await;
    all.has(&["6 dead letters in 3 groups", "refused", "too_large", "no_stream", "Sent"]);
    all.lacks(&["Retry", "Discard"]);
    browser.get("/dead-letters?reason=refused").await.has(&["3 dead letters in 1 groups"]);
    let listed = browser.get("/dead-letters/letters?reason=too_large").await;
    assert_eq!(listed.text.matches("/dead-letters/letter?id=").count(), 2);
    let none = browser.get("/dead-letters/letters?no_stream=1").await;
    assert_eq!(none.text.matches("/dead-letters/letter?id=").count(), 1);
    let letter = browser.get("/dead-letters/letter?id=4").await;
    letter.has(&["because of 1", "&quot;secret&quot;: 1", "too_large", "events.order", "k1"]);
    browser.get("/dead-letters/letter?id=99").await.has(&["There is no such dead letter."]);
    browser.get("/dead-letters/letters?since=1h&key=k2").await.has(&["k2"]);
    browser.get("/dead-letters/letters?first=x").await.has(&["not a whole number"]);
}

/// Page after page, each once.
#[tokio::test]
async fn many_are_paged() {
    let stage = Stage::new(&outbox("")).await;
    bury(&stage, 120, "refused", Some("events.order"), "Made").await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, READ).await;
    let (mut path, mut seen) = ("/dead-letters/letters".to_owned(), 0);
    loop {
        let page = browser.get(&path).await;
        seen += page.text.matches("/dead-letters/letter?id=").count();
        let Some((_, rest)) = page.text.split_once("rel=\"next\" href=\"") else { break };
        path = super::unescaped(rest.split('"').next().expect("an address"));
    }
    assert_eq!(seen, 120);
}

#[tokio::test]
async fn one_a_group_or_a_filter_is_acted_on_after_a_question() {
    let stage = scene().await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, OPERATE).await;
    let asked = browser.get("/dead-letters/discard?reason=too_large").await;
    asked.has(&["Permanently delete 2 dead letters?", "orders: 2 × too_large", "Cancel"]);
    assert_eq!(left(&stage).await, 6, "nothing is done by asking");
    let audit = "select count(*) from outflow.audit";
    assert_eq!(stage.number(audit).await, 0);

    // One that comes after the question is not touched.
    let (action, fields) = asked.form();
    bury(&stage, 1, "too_large", Some("events.order"), "Late").await;
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = browser.post(&action, &fields).await;
    browser.get(answer.location()).await.has(&["2 dead letters were discarded."]);
    assert_eq!(left(&stage).await, 5);
    let late = "select count(*) from outflow.dead_letter where type = 'Late'";
    assert_eq!(stage.number(late).await, 1);

    let done = browser.confirms("/dead-letters/retry?id=1", &[]).await;
    done.has(&["1 dead letters were retried."]);
    assert_eq!(stage.number("select count(*) from outbox where aggregate_id = 'k1'").await, 1);

    // The group without a stream is that group, and no other.
    let page = browser.get("/dead-letters").await;
    let path = page
        .text
        .split("href=\"")
        .find(|rest| rest.starts_with("/dead-letters/discard?") && rest.contains("no_stream=1"));
    let path = super::unescaped(path.expect("a link").split('"').next().expect("an end"));
    browser.confirms(&path, &[]).await.has(&["1 dead letters were discarded."]);
    assert_eq!(left(&stage).await, 3);
    browser.confirms("/dead-letters/retry", &[]).await.has(&["3 dead letters were retried."]);
    assert_eq!((left(&stage).await, stage.number("select count(*) from outbox").await), (0, 4));

    // Who did what, when: written before it was done, and afterwards how many it was.
    let noted = "select count(*) from outflow.audit where via = 'console' and operator = 'anna' \
        and outbox = 'orders'";
    assert_eq!(stage.number(noted).await, 8);
    let first = "select letters from outflow.audit where action = 'discard dead letters' \
        order by id limit 1";
    assert_eq!(stage.number(first).await, 2);
    browser.get("/audit").await.has(&["anna", "discard dead letters", "reason: too_large"]);
    browser.get("/dead-letters").await.has(&["There are no dead letters."]);
}

/// 100,000: counted and grouped by Postgres, and acted on beside the requests, a thousand at a
/// time.
#[tokio::test]
async fn very_many_are_a_job_with_its_progress_that_can_be_stopped() {
    let stage = Stage::new(&outbox("")).await;
    bury(&stage, 100_000, "refused", Some("events.order"), "Made").await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, OPERATE).await;
    let number = "100\u{202f}000";
    browser.get("/dead-letters").await.has(&[&format!("{number} dead letters in 1 groups")]);
    let asked = browser.get("/dead-letters/retry?reason=refused").await;
    asked.has(&[&format!("Retry {number} dead letters?")]);
    // Nobody gets on while the table is locked.
    let holder = stage.client().await;
    holder.batch_execute("begin; lock table outbox in exclusive mode").await.expect("a lock");
    let (action, fields) = asked.form();
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = browser.post(&action, &fields).await;
    assert!(answer.location().starts_with("/jobs/show?id="), "{answer:?}");
    let job = answer.location().to_owned();
    let page = browser.get(&job).await;
    page.has(&["<progress", &format!("0 of {number}"), "Stop"]);
    assert_eq!(page.header("refresh"), "1");
    browser.get("/dead-letters").await.has(&["At work:", "for anna"]);
    // Before anything was done, it was written down.
    let noted = "select letters from outflow.audit where action = 'retry dead letters'";
    assert_eq!(stage.number(noted).await, 100_000);
    let (_, id) = job.split_once("id=").expect("an id");
    let csrf = page.csrf();
    let stop = browser.post("/jobs/stop", &[("csrf", &csrf), ("id", id)]).await;
    holder.batch_execute("commit").await.expect("an end");
    browser.get(stop.location()).await;
    let ended = browser.sees(&job, &["then stopped"]).await;
    assert_eq!(ended.header("refresh"), "");
    let (left, back) = (left(&stage).await, stage.number("select count(*) from outbox").await);
    assert_eq!(left + back, 100_000, "each is here or there");
    assert!(left > 0 && back % 1_000 == 0, "{left} {back}");
    let done = "select coalesce(max(letters), 0) from outflow.audit where action = 'retry dead \
        letters done'";
    assert_eq!(stage.number(done).await, back);

    // The rest, to its end.
    let answer = browser.get("/dead-letters/discard").await;
    answer.has(&["Permanently delete"]);
    browser.confirms("/dead-letters/discard", &[]).await;
    let client = stage.client().await;
    let none = async || {
        let left = client.query_one("select count(*) from outflow.dead_letter", &[]).await;
        left.is_ok_and(|row| row.get::<_, i64>(0) == 0)
    };
    eventually(LIMIT, "all of them to go", none).await.expect("none");
}

#[tokio::test]
async fn who_may_only_look_may_not_act_and_sees_no_payload() {
    let stage = scene().await;
    let served = console(&stage, "payloads = \"operate\"").await;
    let ben = Browser::with(served.port, READ).await;
    let page = ben.get("/dead-letters/letter?id=1").await;
    page.has(&["hidden from your role"]);
    page.lacks(&["secret", "Retry", "aggregate_type", "because of 1"]);
    ben.get("/dead-letters/retry?id=1").await.has(&["Your role is read"]);
    let csrf = ben.get("/").await.csrf();
    for path in [
        "/dead-letters/retry",
        "/dead-letters/discard",
        "/dead-letters/stream/retry",
        "/dead-letters/stream/discard",
        "/actions/pause",
        "/actions/resume",
        "/actions/retry",
        "/actions/replay",
        "/actions/drop-group",
        "/jobs/stop",
    ] {
        let fields = [("csrf", csrf.as_str()), ("last", "9"), ("id", "1"), ("outbox", "orders")];
        let answer = ben.post(path, &fields).await;
        assert_eq!(answer.status.as_u16(), 403, "{path}: {answer:?}");
    }
    assert_eq!(left(&stage).await, 6);
    assert_eq!(stage.number("select count(*) from outflow.audit").await, 0);
}

/// What goes wrong is said, with what to do, and nothing is half done.
#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let stage = scene().await;
    stage.sql("update outflow.dead_letter set outbox = 'other', missing = '{}' where id = 6").await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, OPERATE).await;
    let failed = browser.confirms("/dead-letters/retry?id=6", &[]).await;
    failed.has(&["0 retried, then", "outbox &quot;other&quot; is not in this configuration"]);
    stage.sql("update outflow.dead_letter set missing = array['payload'] where id = 1").await;
    browser.confirms("/dead-letters/retry?id=1", &[]).await.has(&["1 lacks payload"]);
    assert_eq!(left(&stage).await, 6);
    // A form that says nothing of how many was never asked about.
    let csrf = browser.get("/").await.csrf();
    let answer = browser.post("/dead-letters/discard", &[("csrf", &csrf)]).await;
    browser.get(answer.location()).await.has(&["the form says nothing of how many"]);
    assert_eq!(left(&stage).await, 6);
    // Without a trace nothing is done.
    stage.sql("alter table outflow.audit rename to away").await;
    let refused = browser.confirms("/dead-letters/discard?id=2", &[]).await;
    refused.has(&["outflow migrate"]);
    assert_eq!(left(&stage).await, 6);
}
