//! The demo, whole: the real programs over real servers, its verdict, and that nothing is left when
//! it ends.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::support::program;
use outflow_local::{Program, Signal, eventually};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_mins(2);

#[tokio::test]
async fn every_order_arrives_once_and_in_order() {
    let dir = directory();
    let mut demo = start(&dir, &["--orders", "100", "--rate", "100"]);
    let status = demo.wait(LIMIT).await.expect("its end");
    let log = demo.log();
    assert!(status.success(), "{log}");
    let verdict = "placed 100, relayed 100, consumed 100, lost 0, doubled 0, out of order 0";
    assert_eq!(log.lines().last(), Some(verdict), "{log}");
    assert!(log.contains("stock, reservations, payments and orders agree"), "{log}");
    assert_nothing_left(&dir, &log);
}

/// Each program is killed now and then, in the middle of whatever it does.
#[tokio::test]
async fn the_saga_comes_out_right_whoever_is_killed() {
    let dir = directory();
    let mut demo = start(&dir, &["--orders", "400", "--rate", "40", "--chaos"]);
    let status = demo.wait(LIMIT).await.expect("its end");
    let log = demo.log();
    assert!(status.success(), "{log}");
    let verdict = "placed 400, relayed 400, consumed 400, lost 0, doubled 0, out of order 0";
    assert_eq!(log.lines().last(), Some(verdict), "{log}");
    assert!(log.contains("stock, reservations, payments and orders agree"), "{log}");
    assert!(log.matches("        killed ").count() > 4, "{log}");
    let orders = log.lines().find(|line| line.starts_with("orders  ")).expect("how they ended");
    let ends: Vec<u64> = orders
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect();
    assert!(
        ends.len() == 3 && ends.iter().all(|count| *count > 0),
        "each end should occur: {orders}"
    );
    assert_eq!(ends.iter().sum::<u64>(), 400, "{orders}");
    assert_nothing_left(&dir, &log);
}

#[tokio::test]
async fn ctrl_c_ends_an_endless_run_with_a_verdict() {
    let dir = directory();
    let mut demo = start(&dir, &["--rate", "200"]);
    eventually(LIMIT, "a first line", async || demo.log().contains("backlog"))
        .await
        .expect("it runs");
    demo.signal(Signal::SIGINT);
    let status = demo.wait(LIMIT).await.expect("its end");
    let log = demo.log();
    assert!(status.success(), "{log}");
    assert!(log.ends_with("lost 0, doubled 0, out of order 0\n"), "{log}");
    assert_nothing_left(&dir, &log);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_still_leaves_nothing() {
    let dir = directory();
    let mut demo = start(&dir, &["--orders", "1000000"]);
    eventually(LIMIT, "a first line", async || demo.log().contains("backlog"))
        .await
        .expect("it runs");
    demo.signal(Signal::SIGINT);
    eventually(LIMIT, "its answer", async || demo.log().contains("stopping in order"))
        .await
        .expect("an answer");
    demo.signal(Signal::SIGTERM);
    let status = demo.wait(LIMIT).await.expect("its end");
    assert_eq!(status.code(), Some(130), "{}", demo.log());
    assert_nothing_left(&dir, &demo.log());
}

/// A directory for temporary ones. Open to others, so that an unprivileged Postgres reaches what is
/// inside.
fn directory() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("our own directory");
    dir
}

fn start(dir: &TempDir, args: &[&str]) -> Program {
    let temporary = dir.path().to_str().expect("a path in UTF-8");
    let demo = Path::new(program("demo"));
    Program::start("demo", demo, args, &[("TMPDIR", temporary)], dir.path()).expect("the demo")
}

fn assert_nothing_left(dir: &TempDir, log: &str) {
    let left = std::fs::read_dir(dir.path())
        .expect("the directory")
        .flatten()
        .map(|entry| entry.file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["demo.log"]);
    let ports: Vec<u16> = log
        .lines()
        .take_while(|line| !line.starts_with("try"))
        .filter_map(|line| line.split("127.0.0.1:").nth(1)?.split('/').next()?.parse().ok())
        .collect();
    assert_eq!(ports.len(), 8, "{log}");
    for port in ports {
        assert!(
            std::net::TcpStream::connect(("127.0.0.1", port)).is_err(),
            "somebody still listens on {port}"
        );
    }
}
