//! The page that finds an event: where it is, and what the groups have done with it.

use nix::sys::signal::Signal;
use reqwest::Response;

use super::{Browser, READ, console};
use crate::support::{Stage, outbox};

#[tokio::test]
async fn an_event_is_found_by_id_key_and_trace_wherever_it_is() {
    let stage = Stage::new(&outbox("")).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let insert = |id: &str, kind: &str, key: &str| {
        format!(
            "insert into outbox (event_id, aggregate_type, aggregate_id, event_type, payload, \
             headers) values ('{id}', '{kind}', '{key}', 'Made', '{{\"secret\": 1}}', \
             '{{\"traceparent\": \"00-{trace}-00f067aa0ba902b7-01\"}}');"
        )
    };
    let (sent, dead, waits) = (
        "00000000-0000-4000-8000-000000000001",
        "00000000-0000-4000-8000-000000000002",
        "00000000-0000-4000-8000-000000000003",
    );
    stage.sql(&[insert(sent, "order", "k<1>"), insert(dead, "", "k2")].concat()).await;
    stage.once().await;
    stage.command("XGROUP", &["CREATE", "events.order", "mail", "0"]).await;
    let read = ["GROUP", "mail", "one", "COUNT", "1", "STREAMS", "events.order", ">"];
    stage.command("XREADGROUP", &read).await;
    stage.command("XGROUP", &["CREATE", "events.order", "stock", "0"]).await;
    stage.sql(&insert(waits, "order", "k3")).await;
    let mut stage = stage;
    let served = console(&stage, "payloads = \"operate\"").await;
    let browser = Browser::with(served.port, READ).await;
    browser.get("/find").await.has(&["Find an event", "Event id, key or trace id"]);
    let page = browser.get(&format!("/find?text={sent}")).await;
    page.has(&["sent", "pending at one", "not delivered yet", "/streams/entry?", "k&lt;1&gt;"]);
    browser.get(&format!("/find?text={dead}")).await.has(&["no_stream", "/dead-letters/letter?"]);
    let page = browser.get(&format!("/find?text={waits}")).await;
    page.has(&["waits to be sent", "Before it are 0 rows", "no relay is at work"]);
    browser.get("/find?text=k%3C1%3E").await.has(&[sent]);
    browser.get("/find?text=k2&by=key").await.has(&[dead]);
    let all = browser.get(&format!("/find?text={trace}&by=trace")).await;
    all.has(&[sent, dead, waits, "What was looked at"]);
    all.lacks(&["secret"]);
    browser.get("/find?text=nobody").await.has(&["Nothing was found, and everything was looked"]);
    browser.get("/find?text=x&by=trace").await.has(&["32 hexadecimal digits"]);
    browser.get("/find?text=x&since=soon").await.has(&["look back to", "90m"]);
    browser.get("/find?text=x&outbox=none").await.has(&["which has orders"]);
    let evil = "%3Cscript%3Ealert(1)%3C/script%3E%E2%80%AE%22%20onload=x";
    let page = browser.get(&format!("/find?text={evil}&by={evil}&since={evil}")).await;
    page.is_inert();

    stage.redis.kill().await.expect("an end");
    let page = browser.get(&format!("/find?text={waits}")).await;
    page.has(&["Redis cannot be reached", "waits to be sent"]);
    stage.redis.start_again().await.expect("Redis");
    stage.postgres.stop_immediate().await.expect("an end");
    let page = browser.get(&format!("/find?text={sent}")).await;
    page.has(&["Postgres cannot be reached"]);
}

/// What has come of an answer, once it has this word.
async fn until(answer: &mut Response, mut text: String, word: &str) -> String {
    while !text.contains(word) {
        let part = answer.chunk().await.expect("a part").expect("more");
        text.push_str(std::str::from_utf8(&part).expect("a text"));
    }
    text
}

#[tokio::test]
async fn a_page_begins_before_the_search_has_ended() {
    let mut stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, READ).await;
    stage.redis.signal(Signal::SIGSTOP);
    let cookie = browser.cookie.lock().clone().expect("a session");
    let ask = browser.ask("/find?text=nobody").header("cookie", cookie);
    let mut answer = ask.send().await.expect("an answer");
    let begins = until(&mut answer, String::new(), "Searching").await;
    assert!(begins.contains("Find an event"), "{begins}");
    assert!(!begins.contains("What was looked at"), "{begins}");
    stage.redis.signal(Signal::SIGCONT);
    let whole = until(&mut answer, begins, "</html>").await;
    assert!(whole.contains("What was looked at"), "{whole}");
}
