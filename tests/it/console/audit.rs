//! The audit page: the newest first, page by page, and nothing that was written acts.

use reqwest::StatusCode;

use super::{Browser, READ, console};
use crate::support::{Stage, outbox};

#[tokio::test]
async fn every_action_is_listed_once_the_newest_first() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, READ).await;
    browser.get("/audit").await.has(&["Nothing was done yet.", "Pauses, retries"]);
    let insert = "insert into outflow.audit (action, outbox, letters, filter, os_user, host) \
        select 'deed-' || n || '.', 'orders', 12345, '{\"reason\": \"too_large\"}', 'carla', \
        'here' from generate_series(1, 120) n";
    stage.sql(insert).await;
    let (mut path, mut seen) = ("/audit".to_owned(), Vec::new());
    let deeds = |text: &str| -> Vec<u32> {
        text.split("deed-")
            .skip(1)
            .map(|rest| rest.split('.').next().expect("a number").parse().expect("a number"))
            .collect()
    };
    for page in 0.. {
        let answer = browser.get(&path).await;
        answer.has(&["carla", "reason: too_large", "12\u{202f}345", "Newest"][..3 + page.min(1)]);
        seen.extend(deeds(&answer.text));
        let Some((_, rest)) = answer.text.split_once("rel=\"next\" href=\"") else { break };
        path = rest.split('"').next().expect("an address").to_owned();
    }
    assert_eq!(seen, (1..=120).rev().collect::<Vec<_>>());
    browser.get("/audit?before=1").await.has(&["There is nothing older."]);
    for bad in ["x", "9223372036854775808", "1;drop"] {
        let answer = browser.get(&format!("/audit?before={bad}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

/// What the command line does is there, and what it was given is text.
#[tokio::test]
async fn the_command_line_leaves_its_trace_here() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let evil = "<script>alert(1)</script>\u{202e}'\"><img src=x onerror=alert(1)>";
    stage.asked(&["pause", "--outbox", "orders", "--why", evil]).await.data();
    let browser = Browser::with(served.port, READ).await;
    for path in ["/audit", "/"] {
        let page = browser.sees(path, &["&lt;script&gt;alert(1)&lt;/script&gt;"]).await;
        for acts in ["<script>", "<img src=x", "\u{202e}"] {
            assert!(!page.text.contains(acts), "{path} has {acts:?}");
        }
    }
}
