//! The console needs no relay, and neither of the databases, to say what is wrong.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::{Browser, READ, console};
use crate::support::{Stage, outbox};

/// Longer than a page waits for a server that does not answer.
const PROMPT: Duration = Duration::from_secs(8);

#[tokio::test]
async fn either_database_may_be_down_or_both() {
    let mut stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, READ).await;
    browser.sees("/", &["no relay", "No relay is at work."]).await;
    stage.redis.kill().await.expect("its end");
    browser.sees("/", &["Redis", "cannot be reached"]).await;
    stage.postgres.stop_immediate().await.expect("its end");
    let both = browser.sees("/", &["Postgres", "Redis", "unknown"]).await;
    assert_eq!(both.text.matches("cannot be reached").count(), 2, "{}", both.text);
    for path in ["/", "/audit", "/streams", "/find", "/dead-letters", "/actions"] {
        let started = Instant::now();
        let answer = browser.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(started.elapsed() < PROMPT, "{path} took {:?}", started.elapsed());
        assert!(!answer.text.contains("kind: "), "{path}: {}", answer.text);
    }
    browser.get("/audit").await.has(&["Postgres cannot be reached", "finds out by itself"]);
    let check = browser.get("/check").await;
    check.has(&["unreachable", "postgres", "redis"]);
    stage.redis.start_again().await.expect("Redis");
    stage.postgres.start_again().await.expect("Postgres");
    let back = browser.sees("/", &["no relay"]).await;
    assert!(!back.text.contains("cannot be reached"), "{}", back.text);
}

#[tokio::test]
async fn without_a_migration_it_says_what_to_run() {
    let stage = Stage::bare(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, READ).await;
    browser.sees("/", &["outflow migrate"]).await;
    browser.get("/audit").await.has(&["The audit cannot be read", "outflow migrate"]);
    browser.get("/check").await.has(&["outflow migrate", "To do"]);
}

/// A server that is frozen keeps its connections, and is told of all the same.
#[tokio::test]
async fn a_server_that_is_silent_is_noticed() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, READ).await;
    let page = browser.sees("/", &["no relay"]).await;
    assert!(!page.text.contains("cannot be reached"), "{}", page.text);
    stage.command("CLIENT", &["PAUSE", "9000", "ALL"]).await;
    browser.sees("/", &["Redis", "cannot be reached", "has not answered"]).await;
    let back = browser.gone("/", "cannot be reached").await;
    back.has(&["no relay"]);
}
