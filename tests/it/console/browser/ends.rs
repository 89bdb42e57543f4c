//! Sessions that end, and databases that are away.

use super::shop::PAGES;
use super::tab::Tab;
use crate::console::{OPERATE, console, write_token};
use crate::support::{Numbered, Stage, outbox};

const NEXT: &str = "another-another-another";

/// The page that is open says so by itself; a form that was open is not sent into the void.
#[tokio::test]
async fn a_session_that_ends_leads_to_the_log_in_and_back() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let tab = Tab::open(&stage, served.port).await;
    tab.log_in(OPERATE).await;
    write_token(&stage, "anna", NEXT);
    tab.sees(&["Log in", "Token"]).await;
    assert_eq!(tab.at().await, "/login?next=%2F");
    tab.fill("token", NEXT).await;
    tab.click("Log in").await;
    tab.sees(&["Overview", "anna"]).await;

    tab.shows("/actions/pause?outbox=orders", &["Pause outbox orders?"]).await;
    tab.fill("why", "a move").await;
    write_token(&stage, "anna", OPERATE);
    // The other tab of a person is a page of the same session.
    let other = "fetch('/audit').then(answer => done(answer.url.includes('/login')))";
    outflow_local::eventually(crate::support::LIMIT, "the end of the session", async || {
        tab.run_async(&format!("const done = arguments[0]; {other}")).await == true
    })
    .await
    .expect("its end");
    tab.click("Pause").await;
    tab.sees(&["your session has ended. Nothing was done.", "Token"]).await;
    assert_eq!(stage.number("select count(*) from outflow.pause").await, 0);
    tab.fill("token", OPERATE).await;
    tab.click("Log in").await;
    // Back where they were.
    tab.sees(&["Pause outbox orders?"]).await;
}

/// A restart ends all sessions; until then, an overview that is open says that nothing comes.
#[tokio::test]
async fn a_console_that_is_started_again_is_noticed() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let (port, tab) = (served.port, Tab::open(&stage, served.port).await);
    tab.log_in(OPERATE).await;
    drop(served);
    tab.sees(&["The console does not answer: this page is not up to date."]).await;
    let listen = format!("127.0.0.1:{port}");
    let _again = stage.outflow("again", &["console", "--listen", &listen]);
    tab.sees(&["Log in", "Token"]).await;
}

/// And after its time.
#[tokio::test]
async fn a_session_ends_after_its_time() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "session_max = \"5s\"").await;
    let tab = Tab::open(&stage, served.port).await;
    tab.goto("/login").await;
    tab.fill("token", OPERATE).await;
    tab.click("Log in").await;
    tab.sees(&["Overview"]).await;
    // The overview, which is open, leads there by itself.
    tab.sees(&["Log in", "Token"]).await;
}

/// Nothing but a server that is away is told of, by each page in words, and none is a dead end.
#[tokio::test]
async fn pages_say_which_server_is_away() {
    let mut stage = Stage::new(&outbox("")).await;
    Numbered { rows: 5, keys: 2 }.insert(&stage).await;
    stage.once().await;
    let served = console(&stage, "").await;
    let tab = Tab::open(&stage, served.port).await;
    tab.log_in(OPERATE).await;
    let sections = ["/", "/streams", "/find?text=k1", "/dead-letters", "/actions", "/audit"];

    stage.redis.kill().await.expect("its end");
    for path in sections {
        match path {
            "/" => tab.shows(path, &["Redis: cannot be reached", "Backlog"]).await,
            // Pauses and the audit need no Redis.
            "/actions" => tab.shows(path, &["not paused"]).await,
            "/audit" => tab.shows(path, &["Nothing was done yet."]).await,
            _ => tab.shows(path, &["Redis cannot be reached", "finds out by itself"]).await,
        };
        tab.is_usable(path).await;
        assert_eq!(tab.violations().await, serde_json::json!([]), "{path}");
    }
    stage.postgres.stop_immediate().await.expect("its end");
    tab.shows("/", &["Redis: cannot be reached", "Postgres: cannot be reached"]).await;
    for page in &PAGES {
        let about: &[&str] = match page.path.split('?').next().unwrap_or_default() {
            "/" => &["Redis: cannot be reached", "Postgres: cannot be reached"],
            path if path.contains("/stream") => &["Redis cannot be reached"],
            "/find" | "/dead-letters" => &["Redis cannot be reached", "Postgres cannot be reached"],
            "/check" => &["unreachable", "redis", "postgres"],
            // They ask nothing yet.
            "/actions/pause" | "/actions/replay" => &["orders"],
            _ => &["Postgres cannot be reached"],
        };
        tab.shows(page.path, about).await;
        tab.is_usable(page.path).await;
    }
    // Nothing is done that cannot be written down first.
    tab.goto("/actions/pause?outbox=orders").await;
    tab.fill("why", "both are down").await;
    tab.click("Pause").await;
    tab.sees(&["Postgres", "Actions"]).await;
    tab.is_usable("/actions").await;

    stage.redis.start_again().await.expect("Redis");
    tab.shows("/streams", &["events.order"]).await;
    tab.shows("/dead-letters", &["Postgres cannot be reached", "There are no dead letters."]).await;
    // An overview that is open finds out by itself.
    tab.shows("/", &["Postgres: cannot be reached"]).await;
    stage.postgres.start_again().await.expect("Postgres");
    tab.until("!document.body.innerText.includes('cannot be reached')").await;
    tab.sees(&["No relay is at work."]).await;
}

impl Tab {
    /// It has its heading and the way to every other page, and no raw error.
    async fn is_usable(&self, path: &str) {
        let parts = self.run(
            "return [document.querySelectorAll('nav[aria-label=Pages] a').length, \
                document.querySelectorAll('h1').length]",
        );
        assert_eq!(parts.await, serde_json::json!([7, 1]), "{path}");
        let text = self.text().await;
        for raw in ["panicked", "kind: ", "Some(", "Error {", "os error 2"] {
            assert!(!text.contains(raw), "{raw:?} on {path}: {text}");
        }
    }
}
