//! Several hosts in an address of Postgres: one that is dead, in whatever way, hides none of the
//! others.

use std::any::Any;
use std::path::Path;

use outflow_local::{Program, eventually, free_port, number, session};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::support::{LIMIT, Numbered, Stage, outbox, program};

/// Takes connections and says nothing, for as long as what is returned beside its port lives.
fn silent() -> (Box<dyn Any>, u16) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (Box::new(listener), port)
}

/// Drops packets as a firewall does: its queue is full.
async fn full() -> (Box<dyn Any>, u16) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut filling = JoinSet::new();
    for _ in 0..8 {
        filling.spawn(async move { TcpStream::connect(address).await.ok() });
    }
    filling.join_next().await;
    (Box::new((listener, filling)), address.port())
}

/// The same servers behind another host.
fn behind(stage: &Stage, port: u16) -> String {
    let own = format!("127.0.0.1:{}", stage.postgres.port());
    let several = format!("127.0.0.1:{port},{own}");
    format!("{}?connect_timeout=1", stage.postgres.url().replace(&own, &several))
}

fn api(stage: &Stage, url: &str) -> (Program, String) {
    let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
    let args = ["--listen", &listen, "--postgres-url", url];
    let api =
        Program::start("order-api", Path::new(program("order-api")), &args, &[], stage.path());
    (api.expect("order-api"), format!("http://{listen}/readyz"))
}

async fn until_ready(api: &Program, readyz: &str) {
    let ready =
        async || reqwest::get(readyz).await.is_ok_and(|answer| answer.status().is_success());
    assert!(eventually(LIMIT, "readiness", ready).await.is_ok(), "{}", api.log_tail());
}

#[tokio::test]
async fn a_dead_host_hides_no_other() {
    let stage = Stage::new(&outbox("")).await;
    let all = [&["status"][..], &["check"], &["migrate"], &["dead", "list"], &["run", "--once"]];
    for ((_dead, port), commands) in [(silent(), &all[..]), (full().await, &all[..1])] {
        let url = behind(&stage, port);
        let envs = [("OUTFLOW_POSTGRES__URL", url.as_str())];
        let (program, readyz) = api(&stage, &url);
        let mut relay = stage.outflow_with("relay", &["run"], &envs);
        let rows = Numbered { rows: 50, keys: 3 };
        rows.insert(&stage).await;
        stage.drained().await;
        for command in commands {
            let asked = stage.asked_with(command, &envs).await;
            assert_eq!(asked.code, Some(0), "{command:?}: {asked:?}");
        }
        until_ready(&program, &readyz).await;
        relay.terminate();
        assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
    }
}

/// One of two hosts takes no writes. The other one crashes in the middle of the work, and the first
/// becomes the primary. Each commit is on both, so that nothing is lost or doubled.
#[tokio::test]
async fn members_follow_a_fail_over_from_one_host_to_another() {
    const ROWS: Numbered = Numbered { rows: 3_000, keys: 23 };
    let mut stage = Stage::new(&outbox("batch_rows = 20")).await;
    let standby = stage.standby().await;
    // The standby comes first, so that each session is refused there before.
    let hosts = [standby.port(), stage.postgres.port()].map(|port| format!("127.0.0.1:{port}"));
    let url =
        format!("postgres://postgres@{}/postgres?target_session_attrs=read-write", hosts.join(","));
    let member = |name| {
        let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
        let envs = [("OUTFLOW_POSTGRES__URL", &*url), ("OUTFLOW_ADMIN__LISTEN", &*listen)];
        stage.outflow_with(name, &["run"], &envs)
    };
    let members = ["first", "second"].map(member);
    stage.shared_by(2).await;
    ROWS.insert(&stage).await;
    stage.reaches("events.order", 500).await;
    stage.postgres.stop_immediate().await.expect("its end");
    assert!(stage.length("events.order").await < ROWS.rows, "it was in the middle of the work");
    standby.promote().await.expect("a primary");
    stage.reaches("events.order", ROWS.rows).await;
    ROWS.check(&stage, "events.order").await;
    let new = session(&standby.url()).await.expect("a connection");
    let left = "select count(*) from outbox";
    let is_empty = async || number(&new, left).await.is_ok_and(|left| left == 0);
    eventually(LIMIT, "the new primary to be drained", is_empty).await.expect("no rows");
    new.batch_execute(
        "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
            ('order', 'k', 'T', '{}')",
    )
    .await
    .expect("an event");
    stage.reaches("events.order", ROWS.rows + 1).await;
    for member in members {
        assert!(!member.log().contains("Redis lost data"), "{}", member.log_tail());
    }
}

/// Passes everything on until it is told to say nothing more.
async fn forward(listener: &TcpListener, to: u16, sessions: &mut JoinSet<()>) {
    loop {
        let (mut client, _) = listener.accept().await.expect("a connection");
        sessions.spawn(async move {
            let mut server = TcpStream::connect(("127.0.0.1", to)).await.expect("Postgres");
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

/// A probe gives up before a silent host has had its time; the next one must not wait for the same
/// host again.
#[tokio::test]
async fn a_host_that_falls_silent_is_left_though_probes_give_up_early() {
    let stage = Stage::new(&outbox("")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    // Longer than a probe waits.
    let url = behind(&stage, port).replace("connect_timeout=1", "connect_timeout=300");
    let (program, readyz) = api(&stage, &url);
    let mut sessions = JoinSet::new();
    tokio::select! {
        () = forward(&listener, stage.postgres.port(), &mut sessions) => {}
        () = until_ready(&program, &readyz) => {}
    }
    assert!(!sessions.is_empty(), "it was the first host");
    // From here on nobody accepts; the sessions that there were are closed.
    sessions.shutdown().await;
    until_ready(&program, &readyz).await;
}
