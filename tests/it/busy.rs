//! Changes to tables that are in use: whoever waits for a lock must not make the application wait
//! behind one open transaction.

use std::path::Path;

use outflow_local::{Program, eventually};
use tokio_postgres::Client;

use crate::support::{LIMIT, Stage, event_table, outbox, program};

const INSERT: &str = "insert into public.mine (aggregate_type, aggregate_id, event_type, payload) \
    values ('order', 'a', 'T', '{}')";

/// A table of one's own, and a transaction that has inserted into it and stays open.
async fn busy() -> (Stage, Client, i32) {
    let stage = Stage::bare(&outbox("").replace("public.outbox", "public.mine")).await;
    stage.sql(&event_table("public.mine")).await;
    let holder = stage.client().await;
    holder
        .batch_execute(&format!("set application_name = 'shop'; begin; {INSERT}"))
        .await
        .expect("a transaction");
    let pid = holder.query_one("select pg_backend_pid()", &[]).await.expect("a number").get(0);
    (stage, holder, pid)
}

async fn said(program: &Program, words: &[&str]) {
    let what = format!("{} to say {words:?}", program.name());
    eventually(LIMIT, &what, async || {
        program.log().lines().any(|line| words.iter().all(|word| line.contains(word)))
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {}", program.log_tail()));
}

const TRIGGERS: &str = "select count(*) from pg_trigger where tgname = 'outflow_wake'";

#[tokio::test]
async fn a_first_trigger_lets_the_writers_pass() {
    let (stage, holder, pid) = busy().await;
    let mut migrate = stage.outflow("migrate", &["migrate", "--triggers", "--lock-wait", "10min"]);
    let words = [
        "mine is locked by process",
        &pid.to_string(),
        "shop",
        "idle in transaction",
        "then retrying",
    ];
    said(&migrate, &words).await;
    // The transaction is still open and migrate still at it.
    let writer = stage.client().await;
    for _ in 0..5 {
        tokio::time::timeout(LIMIT, writer.batch_execute(INSERT))
            .await
            .expect("it not to wait")
            .expect("an insert");
    }
    assert_eq!(stage.number(TRIGGERS).await, 0);
    holder.batch_execute("commit").await.expect("its end");
    assert!(migrate.wait(LIMIT).await.expect("an end").success(), "{}", migrate.log_tail());
    assert_eq!(stage.number(TRIGGERS).await, 1);
    assert_eq!(stage.number("select count(*) from mine").await, 6);
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 6);
}

/// Between two tries, and while it is watched, a session of migrate is idle.
#[tokio::test]
async fn sessions_that_are_ended_when_idle_do_not_stop_it() {
    let (stage, holder, _) = busy().await;
    stage
        .sql(
            "create role brief superuser login; alter role brief set idle_session_timeout = \
        '500ms'",
        )
        .await;
    let url = stage.postgres.url().replace("postgres://postgres@", "postgres://brief@");
    let args = ["migrate", "--triggers", "--lock-wait", "10min"];
    let mut migrate = stage.outflow_with("migrate", &args, &[("OUTFLOW_POSTGRES__URL", &url)]);
    said(&migrate, &["mine is locked by process", "then retrying"]).await;
    holder.batch_execute("commit").await.expect("its end");
    assert!(migrate.wait(LIMIT).await.expect("an end").success(), "{}", migrate.log_tail());
    assert_eq!(stage.number(TRIGGERS).await, 1);
}

#[tokio::test]
async fn a_table_that_stays_locked_is_given_up_and_its_holder_named() {
    let (stage, holder, pid) = busy().await;
    let asked = stage.asked(&["migrate", "--triggers", "--lock-wait", "3s"]).await;
    assert_eq!(asked.code, Some(1), "{asked:?}");
    let last = asked.stderr.lines().last().unwrap_or_default();
    for word in [
        "mine is locked by process",
        &pid.to_string(),
        "\"shop\"",
        "nothing was changed",
        "--lock-wait",
        "pg_terminate",
    ] {
        assert!(last.contains(word), "{last} has no {word:?}");
    }
    assert_eq!(
        stage.number("select count(*) from pg_namespace where nspname = 'outflow'").await,
        0
    );
    // The script that is printed does not block anybody either.
    let script = stage.path().join("script.sql");
    std::fs::write(&script, stage.asked(&["migrate", "--triggers", "--print"]).await.data())
        .expect("a file");
    let psql = || {
        let mut psql = tokio::process::Command::new("psql");
        psql.args(["--no-psqlrc", "--set=ON_ERROR_STOP=1", "--quiet", "--file"])
            .arg(&script)
            .arg(stage.postgres.url());
        psql.kill_on_drop(true);
        psql
    };
    let output = tokio::time::timeout(LIMIT, psql().output()).await.expect("an end").expect("psql");
    assert!(String::from_utf8_lossy(&output.stderr).contains("lock timeout"), "{output:?}");
    holder.batch_execute("commit").await.expect("its end");
    let output = tokio::time::timeout(LIMIT, psql().output()).await.expect("an end").expect("psql");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stage.number(TRIGGERS).await, 1);
}

/// An index of an earlier version, which the companions make anew at their start.
#[tokio::test]
async fn the_companions_let_their_writers_pass() {
    let stage = Stage::new(&outbox("")).await;
    let start = |name: &str| {
        let port = outflow_local::free_port().expect("a port");
        let args =
            ["--listen", &format!("127.0.0.1:{port}"), "--postgres-url", &stage.postgres.url()];
        Program::start(name, Path::new(program("order-api")), &args, &[], stage.path())
            .expect("order-api")
    };
    let mut first = start("first");
    said(&first, &["schema orders are ready"]).await;
    first.terminate();
    first.wait(LIMIT).await.expect("an end");
    stage.sql("drop index orders.orders_customer, orders.orders_status").await;
    let order = "insert into orders.orders (order_id, customer_id, status, currency, items, \
        total_amount) \
                 values (gen_random_uuid(), 'c', 'created', 'EUR', '[]', 1)";
    let holder = stage.client().await;
    holder
        .batch_execute(&format!("set application_name = 'shop'; begin; {order}"))
        .await
        .expect("a transaction");
    let second = start("second");
    said(&second, &["orders.orders is locked by process", "shop"]).await;
    let writer = stage.client().await;
    tokio::time::timeout(LIMIT, writer.batch_execute(order))
        .await
        .expect("it not to wait")
        .expect("an insert");
    holder.batch_execute("commit").await.expect("its end");
    said(&second, &["schema orders are ready"]).await;
    assert_eq!(
        stage.number("select count(*) from pg_indexes where indexname like 'orders\\_%s%'").await,
        2
    );
}
