//! What Postgres tells a role for debugging is not our log's business.

use std::path::Path;

use outflow_local::{Program, eventually, free_port};

use crate::support::{LIMIT, Numbered, Stage, outbox, program};

/// `client_min_messages = debug5` for everybody: none of our programs repeats what the server says.
#[tokio::test]
async fn a_talkative_server_does_not_fill_the_log() {
    let stage = Stage::new(&outbox("")).await;
    stage.sql("alter database postgres set client_min_messages = debug5").await;
    let relay = stage.relay();
    let port = free_port().expect("a port");
    let args = ["--listen", &format!("127.0.0.1:{port}"), "--postgres-url", &stage.postgres.url()];
    let api =
        Program::start("order-api", Path::new(program("order-api")), &args, &[], stage.path());
    let api = api.expect("order-api");
    for _ in 0..20 {
        Numbered { rows: 5, keys: 2 }.insert(&stage).await;
    }
    stage.drained().await;
    eventually(LIMIT, "the tables of order-api", async || {
        api.log().contains("schema orders are ready")
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {}", api.log_tail()));
    let asked = [&["status"][..], &["dead", "list"], &["migrate"], &["check"], &["run", "--once"]];
    let mut logs = vec![relay.log(), api.log()];
    for args in asked {
        logs.push(stage.asked(args).await.stderr);
    }
    for log in logs {
        for word in ["DEBUG: ", "LOG: ", "NOTICE: ", "StartTransaction", "CommitTransaction"] {
            assert!(!log.contains(word), "{word}: {log}");
        }
    }
}
