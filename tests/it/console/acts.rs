//! Actions: pausing, resuming, a parked stream, a replay, a stale group. Each with its effect.

use outflow_local::eventually;

use super::{Browser, OPERATE, configuration, console};
use crate::support::{LIMIT, Numbered, Stage, outbox};

const STREAM: &str = "events.order";

#[tokio::test]
async fn an_outbox_and_a_stream_are_paused_and_resumed() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, OPERATE).await;
    browser.get("/actions").await.has(&["not paused", "No relay says that it has parked"]);
    let paused = browser
        .confirms("/actions/pause?outbox=orders", &[("why", "moving"), ("length", "30m")])
        .await;
    paused.has(&["Paused outbox orders for 30m.", "by anna (console)", "moving", "Resume"]);
    let row = "select count(*) from outflow.pause where stream = '' and why = 'moving' and os_user \
        = 'anna (console)' and until > now() + interval '29 min'";
    assert_eq!(stage.number(row).await, 1);
    let path = format!("/actions/pause?outbox=orders&stream={STREAM}");
    browser.confirms(&path, &[("why", "x")]).await.has(&["Paused stream events.order of orders."]);
    for (path, fields, words) in [
        ("/actions/pause?outbox=orders", [("why", " "), ("length", "")], "why: it is empty"),
        ("/actions/pause?outbox=orders", [("why", "x"), ("length", "0s")], "expected 1s or more"),
        ("/actions/pause?outbox=none", [("why", "x"), ("length", "")], "which has orders"),
        (
            "/actions/pause?outbox=orders&stream=other",
            [("why", "x"), ("length", "")],
            "is not one that this configuration writes",
        ),
    ] {
        browser.confirms(path, &fields).await.has(&[words]);
    }
    let path = format!("/actions/resume?outbox=orders&stream={STREAM}");
    browser.get(&path).await.has(&["Resume stream events.order of orders?", "It is paused"]);
    browser.confirms(&path, &[]).await.has(&["Resumed stream events.order of orders."]);
    browser.confirms(&path, &[]).await.has(&["was not paused."]);
    browser.confirms("/actions/resume?outbox=orders", &[]).await.has(&["Resumed outbox orders."]);
    assert_eq!(stage.number("select count(*) from outflow.pause").await, 0);
    let noted = "select count(*) from outflow.audit where via = 'console' and operator = 'anna' \
        and action in ('pause', 'resume')";
    assert_eq!(stage.number(noted).await, 4);
}

#[tokio::test]
async fn a_parked_stream_is_tried_now() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, OPERATE).await;
    stage.command("SET", &[STREAM, "no stream"]).await;
    let _relay = stage.relay();
    Numbered { rows: 5, keys: 1 }.insert(&stage).await;
    let page = browser.sees("/actions", &["WRONGTYPE", "Retry now"]).await;
    page.has(&[STREAM]);
    stage.command("DEL", &[STREAM]).await;
    let path = format!("/actions/retry?outbox=orders&stream={STREAM}");
    browser.get(&path).await.has(&["Retry stream events.order now?", "The relay appends one"]);
    browser.confirms(&path, &[]).await.has(&["The relays try stream events.order now."]);
    stage.reaches(STREAM, 5).await;
    let noted = "select count(*) from outflow.audit where action = 'retry parked stream' and \
        operator = 'anna'";
    assert_eq!(stage.number(noted).await, 1);
    let wrong = browser.confirms("/actions/retry?outbox=orders&stream=other", &[]).await;
    wrong.has(&["is not one that this configuration writes"]);
}

#[tokio::test]
async fn a_group_is_dropped_with_its_numbers_unless_it_is_used() {
    let stage = Stage::new(&outbox("")).await;
    Numbered { rows: 20, keys: 3 }.insert(&stage).await;
    stage.once().await;
    stage.command("XGROUP", &["CREATE", STREAM, "stale", "0"]).await;
    stage.command("XGROUP", &["CREATE", STREAM, "used", "0"]).await;
    let read = ["GROUP", "used", "one", "COUNT", "5", "STREAMS", STREAM, ">"];
    stage.command("XREADGROUP", &read).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, OPERATE).await;
    let path = |group: &str| format!("/actions/drop-group?name={STREAM}&group={group}");
    browser.get(&path("used")).await.has(&["is in use", "stop its consumers first"]);
    let asked = browser.get(&path("stale")).await;
    asked.has(&["Drop group stale of events.order?", "<strong>20</strong> entries were not read"]);
    // Somebody reads between question and answer.
    let (action, fields) = asked.form();
    let read = ["GROUP", "stale", "two", "COUNT", "1", "STREAMS", STREAM, ">"];
    stage.command("XREADGROUP", &read).await;
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = browser.post(&action, &fields).await;
    browser.get(answer.location()).await.has(&["is in use"]);
    stage.command("XGROUP", &["DELCONSUMER", STREAM, "stale", "two"]).await;
    let answer = browser.post(&action, &fields).await;
    browser.get(answer.location()).await.has(&["was used meanwhile"]);
    assert_eq!(stage.command("XINFO", &["GROUPS", STREAM]).await.items().len(), 2);
    let done = browser.confirms(&path("stale"), &[]).await;
    done.has(&["Dropped group stale of events.order, with 0 pending entries."]);
    assert_eq!(stage.command("XINFO", &["GROUPS", STREAM]).await.items().len(), 1);
    let noted = "select count(*) from outflow.audit where action = 'drop group' and operator = \
        'anna' and filter @> '{\"group\": \"stale\", \"lag\": 19}'";
    assert_eq!(stage.number(noted).await, 2, "before each attempt");
    let not = "select count(*) from outflow.audit where action = 'drop group: not done'";
    assert_eq!(stage.number(not).await, 1);
    let end = "select count(*) from outflow.audit where action = 'drop group done' and filter @> \
        '{\"group\": \"stale\", \"pending\": 0}'";
    assert_eq!(stage.number(end).await, 1);
    // What is said of a consumer that waits depends on what Redis knows of it.
    let consumers = stage.command("XINFO", &["CONSUMERS", STREAM, "used"]).await;
    let is_old = !format!("{consumers:?}").contains("inactive");
    let page = browser.get(&format!("/streams/group?name={STREAM}&group=used")).await;
    page.has(&[if is_old { "Redis before 7.2 does not tell" } else { "Last asked" }]);
    browser.get(&path("stale")).await.has(&["has no group"]);
}

#[tokio::test]
async fn a_replay_is_counted_first_and_sends_each_event_once() {
    let kept = "settle = \"keep\"\nbatch_rows = 10";
    let stage = Stage::new(&outbox(kept)).await;
    let served = console(&stage, "").await;
    stage.configure(&format!("{}{kept}\n", configuration(&stage, "")));
    drop(served);
    let numbered = Numbered { rows: 200, keys: 7 };
    numbered.insert(&stage).await;
    stage.once().await;
    let port = outflow_local::free_port().expect("a port");
    let listen = format!("127.0.0.1:{port}");
    let _console = stage.outflow("kept", &["console", "--listen", &listen]);
    let browser = Browser::of(port);
    let up = async || browser.ask("/login").send().await.is_ok();
    eventually(LIMIT, "the console", up).await.expect("a console");
    browser.log_in(OPERATE).await;
    browser.get("/actions").await.has(&["Replay…"]);
    browser.get("/actions/replay?outbox=orders").await.has(&["Count first"]);
    let both = browser.get("/actions/replay?outbox=orders&to=again&again=1").await;
    both.has(&["say where to send the events"]);
    let asked = browser.get("/actions/replay?outbox=orders&to=again").await;
    asked.has(&["Send 200 events to again?"]);
    assert_eq!(stage.number("select count(*) from outflow.audit").await, 0);
    let done = browser.confirms("/actions/replay?outbox=orders&to=again", &[]).await;
    done.has(&["Sent 200 events to again."]);
    numbered.check(&stage, "again").await;
    // Once more, there is nothing left of it.
    browser.get("/actions/replay?outbox=orders&to=again").await.has(&["Send 0 events"]);
    let noted = "select count(*) from outflow.audit where action = 'replay' and letters = 200 and \
        operator = 'anna' and filter @> '{\"to\": \"again\"}'";
    assert_eq!(stage.number(noted).await, 1);
    let end = "select count(*) from outflow.audit where action = 'replay done' and letters = 200 \
        and filter @> '{\"to\": \"again\", \"end\": \"done\"}'";
    assert_eq!(stage.number(end).await, 1);
    let slow = "/actions/replay?outbox=orders&to=slow&rate=10&since=1h";
    let (_, running) = browser.begins(slow, &[]).await;
    running.has(&["<progress", "of 200"]);
    let job = running.text.split("name=\"id\" value=\"").nth(1).expect("a job");
    let id = job.split('"').next().expect("an id");
    let csrf = running.csrf();
    browser.post("/jobs/stop", &[("csrf", &csrf), ("id", id)]).await;
    let stopped = browser.sees(&format!("/jobs/show?id={id}"), &["Stopped after"]).await;
    let sent = stage.length("slow").await;
    assert!(sent < 200, "{sent}");
    let end = "select letters from outflow.audit where filter ->> 'end' = 'stopped'";
    assert_eq!(stage.number(end).await, sent);
    // The way back leads to the same replay: an hour ago is another time by now.
    let (_, back) = stopped.text.split_once("href=\"/actions/replay?").expect("a link");
    let back = super::unescaped(back.split('"').next().expect("an end"));
    assert!(back.contains("since=2") && !back.contains("1h"), "{back}");
    let back = format!("/actions/replay?{back}").replace("rate=10", "rate=");
    let left = format!("Send {} events to slow?", 200 - sent);
    browser.get(&back).await.has(&[&left, "goes on where it was"]);
    browser.confirms(&back, &[]).await;
    stage.reaches("slow", 200).await;
    numbered.check(&stage, "slow").await;
}
