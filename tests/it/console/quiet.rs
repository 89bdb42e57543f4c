//! While nobody looks, nothing is asked of the databases.

use outflow_local::eventually;

use super::{Browser, READ, Served, console};
use crate::support::{LIMIT, Stage, outbox};

/// Sessions of the console in Postgres, and connections to Redis.
async fn connections(stage: &Stage) -> (i64, usize) {
    let sessions = "select count(*) from pg_stat_activity where application_name like 'outflow%'";
    let clients = stage.command("CLIENT", &["LIST"]).await.string().expect("a list");
    // One of them asks this.
    (stage.number(sessions).await, clients.lines().count() - 1)
}

#[tokio::test]
async fn nothing_is_asked_while_nobody_looks() {
    let stage = Stage::new(&outbox("")).await;
    let served: Served = console(&stage, "").await;
    // Neither the log-in nor the assets need a database.
    let browser = Browser::with(served.port, READ).await;
    browser.get("/assets/nothing").await;
    browser.get("/find").await;
    assert_eq!(connections(&stage).await, (0, 0));
    browser.sees("/", &["no relay"]).await;
    let (sessions, clients) = connections(&stage).await;
    assert!(sessions == 1 && clients >= 1, "{sessions} {clients}");
    eventually(LIMIT, "the connections to be closed", async || connections(&stage).await == (0, 0))
        .await
        .expect("their end");
    browser.sees("/", &["no relay"]).await;
}

/// Many who look at once are one question.
#[tokio::test]
async fn many_who_look_share_an_answer() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, READ).await;
    browser.sees("/", &["no relay"]).await;
    let pages = (0..40).map(|_| browser.get("/"));
    for page in futures_util::future::join_all(pages).await {
        page.has(&["Overview"]);
    }
    assert_eq!(connections(&stage).await.0, 1);
}
