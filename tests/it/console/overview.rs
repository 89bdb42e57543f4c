//! What the overview says, in words and with what mends it, and how it is kept up to date.

use outflow_local::{eventually, free_port};
use reqwest::StatusCode;

use super::{Browser, OPERATE, READ, Served, configuration, console, write_token};
use crate::support::{LIMIT, Numbered, Stage, outbox};

#[tokio::test]
async fn what_is_wrong_comes_first_with_what_mends_it() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let small = "name = \"orders\"\nevent_bytes_max = \"2KB\"";
    stage.configure(&configuration(&stage, "").replace("name = \"orders\"", small));
    let browser = Browser::with(served.port, OPERATE).await;
    stage.command("SET", &["events.bad", "no stream"]).await;
    Numbered { rows: 3, keys: 1 }.insert(&stage).await;
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
             ('bad', 'k', 'T', '{}'), ('order', 'k', 'T', to_jsonb(repeat('x', 4000)))",
        )
        .await;
    browser.sees("/", &["What is wrong", "no relay is at work", "Backlog"]).await;
    let _relay = stage.relay();
    let page = browser
        .sees("/", &["refuses its events", "WRONGTYPE", "Retry now…", "1 dead letter, too_large"])
        .await;
    page.has(&[
        "/actions/retry?outbox=orders&amp;stream=events.bad",
        "/dead-letters?outbox=orders&amp;reason=too_large",
        "64 of 64",
    ]);
    page.has(&["refuses its events, 1 event waits: WRONGTYPE"]);
    assert!(!page.text.contains("see the parked streams"), "they are on the page");
    let (wrong, first) = (page.text.find("What is wrong"), page.text.find("class=\"outbox\""));
    assert!(wrong < first, "{wrong:?} {first:?}");
    stage.asked(&["pause", "--outbox", "orders", "--why", "an audit"]).await.data();
    browser.sees("/", &["paused", "an audit", "/actions/resume?outbox=orders"]).await;
    // Who may not act has no buttons for it.
    let ben = Browser::with(served.port, READ).await;
    let page = ben.sees("/", &["an audit"]).await;
    for act in ["/actions/resume", "/actions/retry", "/actions/pause"] {
        assert!(!page.text.contains(act), "{act}");
    }
}

#[tokio::test]
async fn a_relay_serves_it_with_its_own_figures() {
    let stage = Stage::new(&outbox("")).await;
    let port = free_port().expect("a port");
    stage.configure(&configuration(&stage, &format!("listen = \"127.0.0.1:{port}\"")));
    let mut served = Served { program: stage.relay(), port };
    served.listens().await;
    let browser = Browser::with(port, READ).await;
    let page = browser.sees("/", &["asleep", "Nothing is wrong", "64 of 64"]).await;
    page.has(&["of this relay, since", "Events per second"]);
    // A sample each few seconds, from the relay's memory.
    let figures = eventually(LIMIT, "a rate and a latency", async || {
        Numbered { rows: 100, keys: 5 }.insert(&stage).await;
        let page = browser.get("/").await.text;
        let said = |name: &str| {
            let figure = page.split_once(&format!("{name} "))?.1.split('<').next()?;
            Some(figure.starts_with(|first: char| ('1'..='9').contains(&first)))
        };
        said("out") == Some(true) && said(">latency") == Some(true)
    });
    figures.await.expect("figures");
    served.program.terminate();
    let ended = served.program.wait(LIMIT).await.expect("its end");
    assert_eq!(ended.code(), Some(0), "{}", served.program.log());
}

#[tokio::test]
async fn whoever_looks_is_kept_up_to_date_until_the_session_ends() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, READ).await;
    let cookie = browser.cookie.lock().clone().expect("a cookie");
    let mut events = browser.ask("/live").header("cookie", cookie).send().await.expect("an answer");
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    let mut until = async |word: &str| {
        let seen = async {
            while !text.contains(word) {
                let bytes = events.chunk().await.expect("bytes").expect("more");
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
        };
        let seen = tokio::time::timeout(LIMIT, seen).await;
        assert!(seen.is_ok(), "no {word:?} in {text}");
        text.clear();
    };
    until("event: content").await;
    stage.asked(&["pause", "--outbox", "orders", "--why", "a reason"]).await.data();
    until("a reason").await;
    write_token(&stage, "ben", "another-another-another");
    until("event: ended").await;
    let answer = browser.get("/live").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}
