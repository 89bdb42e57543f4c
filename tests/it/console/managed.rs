//! The console over a Redis without the commands that managed services take away.

use outflow_local::{Redis, free_port};

use super::{Browser, READ, Served, configuration};
use crate::support::{Stage, outbox};

#[tokio::test]
async fn what_redis_does_not_have_is_told_once_and_nothing_is_wrong() {
    let stage = Stage::new(&outbox("")).await;
    let dir = tempfile::tempdir().expect("a directory");
    let taken = ["ACL", "CLIENT", "CONFIG", "INFO", "MEMORY"];
    let args: Vec<&str> =
        taken.iter().flat_map(|command| ["--rename-command", *command, ""]).collect();
    let redis = Redis::start(dir.path(), &args).await.expect("Redis");
    let port = free_port().expect("a port");
    let console = configuration(&stage, &format!("listen = \"127.0.0.1:{port}\""));
    stage.configure_with(&redis.url(), &console);
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
                ('order', 'k', 'T', '{}'), ('bill', 'k', 'T', '{}')",
        )
        .await;
    let served = Served { program: stage.relay(), port };
    served.listens().await;
    stage.drained().await;
    let browser = Browser::with(port, READ).await;
    browser.sees("/", &["Nothing is wrong", "64 of 64"]).await;
    let list = browser.get("/streams").await;
    list.has(&["1 to 2 of 2 streams.", "events.bill", "events.order"]);
    assert_eq!(list.text.matches("unknown command").count(), 1, "{list:?}");
}
