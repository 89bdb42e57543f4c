//! What one browser can use up: work in Postgres, places of pages that are kept up to date.

use std::time::Duration;

use outflow_local::eventually;
use reqwest::StatusCode;

use super::{Browser, READ, console};
use crate::support::{LIMIT, Stage, outbox};

/// The audit takes its time.
const SLOW: &str = "alter table outflow.audit rename to kept; create view outflow.audit as \
    select * from outflow.kept where (select count(*) from (select pg_sleep(3)) as slow) = 1";

/// The servers go on with what they were asked when the browser has left.
#[tokio::test]
async fn whoever_reloads_a_slow_page_heaps_up_no_work() {
    let stage = Stage::new(&outbox("")).await;
    stage.sql(SLOW).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, READ).await;
    let cookie = browser.cookie.lock().clone().expect("a cookie");
    let busy = "select count(*) from pg_stat_activity where application_name = 'outflow console' \
        and state = 'active'";
    let mut most = 0;
    for _ in 0..20 {
        let asked = browser.ask("/audit").header("cookie", &cookie);
        let left = asked.timeout(Duration::from_millis(100)).send().await;
        assert!(left.is_err(), "it was not slow: {left:?}");
        most = most.max(stage.number(busy).await);
    }
    assert!((1..=4).contains(&most), "{most} queries at once");
    // Nothing is stuck behind them.
    browser.sees("/audit", &["Nothing was done yet."]).await;
    assert!(stage.number(busy).await <= 4);
}

#[tokio::test]
async fn places_that_are_kept_up_to_date_are_given_back() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, READ).await;
    let cookie = browser.cookie.lock().clone().expect("a cookie");
    let live = async || {
        let asked = browser.ask("/live").header("cookie", &cookie);
        asked.send().await.expect("an answer")
    };
    let mut open = Vec::new();
    for _ in 0..8 {
        let answer = live().await;
        assert_eq!(answer.status(), StatusCode::OK);
        open.push(answer);
    }
    assert_eq!(live().await.status(), StatusCode::SERVICE_UNAVAILABLE, "of one session");
    let other = Browser::with(served.port, READ).await;
    let others = other.cookie.lock().clone().expect("a cookie");
    let answer = other.ask("/live").header("cookie", others).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "another session has its own");
    browser.get("/audit").await.has(&["Audit"]);
    open.truncate(7);
    let again =
        eventually(LIMIT, "a place to be free", async || live().await.status().is_success());
    again.await.expect("a place");
}
