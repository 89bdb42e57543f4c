//! The private servers of `outflow_local`: they start, crash, come back with their data, and end
//! with their handle.

use std::path::Path;
use std::time::Duration;

use outflow_connect::redis::Reply;
use outflow_local::{Error, Postgres, Program, Redis, Signal, eventually, find, free_port};
use secrecy::SecretString;
use tokio_postgres::NoTls;

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn postgres_keeps_its_data_over_a_crash_and_a_stop() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = Postgres::start(dir.path()).await.expect("a server");
    assert_eq!(server.url(), format!("postgres://postgres@127.0.0.1:{}/postgres", server.port()));
    query(&server, "create table t (n int); insert into t values (42)").await;
    server.stop_immediate().await.expect("a crash");
    server.start_again().await.expect("a recovery");
    assert_eq!(query(&server, "select n from t").await, "42");
    assert_eq!(query(&server, "show fsync").await, "on");
    assert_eq!(query(&server, "show server_encoding").await, "UTF8");
    server.stop_fast().await.expect("a stop");
    server.start_again().await.expect("a start");
    assert_eq!(query(&server, "select n from t").await, "42");
}

#[tokio::test]
async fn two_servers_at_once_do_not_meet() {
    let (one, two) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (one, two) = tokio::join!(Postgres::start(one.path()), Postgres::start(two.path()));
    let (one, two) = (one.expect("a server"), two.expect("another"));
    assert_ne!(one.port(), two.port());
    query(&one, "create table t ()").await;
    assert_eq!(query(&two, "select to_regclass('t') is null").await, "t");
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let postgres = Postgres::start(dir.path()).await.expect("Postgres");
    let redis = Redis::start(dir.path(), &[]).await.expect("Redis");
    let ports = [postgres.port(), redis.port()];
    drop((postgres, redis));
    for port in ports {
        let refused = std::net::TcpStream::connect(("127.0.0.1", port)).is_err();
        assert!(refused, "somebody still listens on {port}");
    }
}

#[tokio::test]
async fn redis_keeps_what_it_acknowledged_over_a_kill() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = Redis::start(dir.path(), &[]).await.expect("a server");
    let client = connect(&server);
    client.ready(LIMIT).await.expect("a connection");
    client.call("SET", ["key", "kept"].into()).await.expect("an answer");
    server.kill().await.expect("its end");
    server.start_again().await.expect("a start");
    client.ready(LIMIT).await.expect("a new connection");
    let kept =
        eventually(LIMIT, "the key", async || client.call("GET", ["key"].into()).await.ok()).await;
    assert_eq!(kept.expect("an answer"), Reply::Text("kept".into()));
}

#[tokio::test]
async fn extra_arguments_win() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Redis::start(dir.path(), &["--appendonly", "no"]).await.expect("a server");
    let client = connect(&server);
    client.ready(LIMIT).await.expect("a connection");
    let answer = client.call("CONFIG", ["GET", "appendonly"].into()).await.expect("an answer");
    assert_eq!(answer.items().get(1), Some(&Reply::Text("no".into())));
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_its_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = Redis::start(dir.path(), &["--no-such-option", "1"]).await.expect_err("a refusal");
    let message = error.to_string();
    assert!(
        message.contains("redis ended at its start") && message.contains("no-such-option"),
        "{message}"
    );
}

#[test]
fn a_missing_program_comes_with_what_to_install() {
    let error = find("no-such-server").expect_err("no such program");
    assert!(matches!(error, Error::Missing { .. }));
    let message = error.to_string();
    assert!(message.starts_with("no-such-server was not found"), "{message}");
    assert!(message.ends_with("apt-get install postgresql redis-server"), "{message}");
}

#[tokio::test]
async fn a_program_is_logged_signalled_and_waited_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = "echo $GREETING; trap 'echo stopping; exit 3' TERM; while :; do read -t 0.01 x \
        <> /dev/zero; done";
    let envs = [("GREETING", "hello")];
    let mut program =
        Program::start("greeter", Path::new("/bin/bash"), &["-c", script], &envs, dir.path())
            .expect("bash");
    eventually(LIMIT, "the greeting", async || program.log().contains("hello"))
        .await
        .expect("a greeting");
    assert!(program.exit_status().is_none());
    let error = program.wait(Duration::ZERO).await.expect_err("still running");
    assert!(error.to_string().contains("greeter still runs after 0ns"), "{error}");
    program.terminate();
    let status = program.wait(LIMIT).await.expect("its end");
    assert_eq!(status.code(), Some(3));
    assert!(program.log().ends_with("stopping\n"));
    program.signal(Signal::SIGTERM);
    program.kill();
}

#[tokio::test]
async fn waiting_in_vain_says_what_for() {
    let error = eventually(Duration::from_millis(30), "godot", async || false)
        .await
        .expect_err("nobody came");
    assert_eq!(error.to_string(), "waited 30ms in vain for godot");
    let hung = eventually(Duration::from_millis(30), "godot", std::future::pending::<bool>).await;
    assert!(hung.is_err());
    assert_eq!(eventually(LIMIT, "a value", async || Some(7)).await.expect("a value"), 7);
}

#[test]
fn a_free_port_can_be_listened_on() {
    let port = free_port().expect("a port");
    std::net::TcpListener::bind(("127.0.0.1", port)).expect("it is free");
}

fn connect(server: &Redis) -> outflow_connect::redis::Redis {
    outflow_connect::redis::Redis::open(&SecretString::from(server.url()), "test")
        .expect("a valid address")
}

/// The first column of the last row, or nothing.
async fn query(server: &Postgres, sql: &str) -> String {
    let (client, connection) =
        tokio_postgres::connect(&server.url(), NoTls).await.expect("a connection");
    let connection = tokio::spawn(connection);
    let messages = client.simple_query(sql).await.expect("an answer");
    drop(client);
    connection.await.expect("no panic").expect("a clean end");
    let rows = messages.into_iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    rows.last().unwrap_or_default()
}
