//! What systemd hears, through a socket of the test's own.

use outflow_local::{Signal, eventually};
use tokio::net::UnixDatagram;

use crate::support::{LIMIT, Numbered, Stage, outbox};

struct Manager {
    socket: UnixDatagram,
    path: String,
    heard: Vec<String>,
}

impl Manager {
    fn listen(stage: &Stage) -> Self {
        let path = stage.path().join("notify.sock").display().to_string();
        Self { socket: UnixDatagram::bind(&path).expect("a socket"), path, heard: Vec::new() }
    }

    fn relay(&self, stage: &Stage) -> outflow_local::Program {
        let envs = [("NOTIFY_SOCKET", self.path.as_str()), ("WATCHDOG_USEC", "200000")];
        stage.outflow_with("relay", &["run"], &envs)
    }

    /// Listens until a line is like that; returns it.
    async fn hears(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let hearing = async {
            loop {
                let mut buffer = vec![0; 4_096];
                let length = self.socket.recv(&mut buffer).await.expect("a datagram");
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                self.heard.extend(text.lines().map(str::to_owned));
                if let Some(line) = text.lines().find(|line| wanted(line)) {
                    return line.to_owned();
                }
            }
        };
        let heard = tokio::time::timeout(LIMIT, hearing).await;
        heard.unwrap_or_else(|_| panic!("{what} was not heard: {:?}", self.heard))
    }

    fn count(&self, line: &str) -> usize {
        self.heard.iter().filter(|heard| *heard == line).count()
    }
}

#[tokio::test]
async fn systemd_hears_how_it_goes() {
    let mut stage = Stage::new(&outbox("")).await;
    let mut manager = Manager::listen(&stage);
    let mut relay = manager.relay(&stage);
    manager.hears("READY", |line| line == "READY=1").await;
    manager.hears("the age", |line| line.starts_with("STATUS=oldest 0.0 s · ")).await;
    Numbered { rows: 2_000, keys: 3 }.insert(&stage).await;
    manager.hears("the rate", |line| line.ends_with("/s") && !line.ends_with("· 0/s")).await;
    let pings = manager.count("WATCHDOG=1");
    stage.redis.kill().await.expect("its end");
    Numbered { rows: 1, keys: 1 }.insert(&stage).await;
    manager
        .hears("the cause", |line| line.starts_with("STATUS=orders: ") && line.contains("Redis"))
        .await;
    // A relay that waits for a server is alive.
    for _ in 0..5 {
        manager.hears("a ping", |line| line == "WATCHDOG=1").await;
    }
    assert!(manager.count("WATCHDOG=1") >= pings + 5, "{:?}", manager.heard);
    relay.terminate();
    manager.hears("STOPPING", |line| line == "STOPPING=1").await;
    assert_eq!(manager.count("READY=1"), 1, "{:?}", manager.heard);
    assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
}

/// Both kinds of reload end with READY; the one that begins carries the time, without which newer
/// systemd waits in vain.
#[tokio::test]
async fn systemd_hears_of_reloads() {
    let stage = Stage::new(&outbox("")).await;
    let mut manager = Manager::listen(&stage);
    let mut relay = manager.relay(&stage);
    manager.hears("READY", |line| line == "READY=1").await;
    let good = outbox("batch_rows = 7");
    for (round, outboxes) in [good.as_str(), "nonsense", good.as_str()].into_iter().enumerate() {
        stage.configure(outboxes);
        relay.signal(Signal::SIGHUP);
        let began = manager.heard.len();
        manager.hears("RELOADING", |line| line == "RELOADING=1").await;
        assert!(
            manager.heard[began..].iter().any(|line| line.starts_with("MONOTONIC_USEC=")),
            "{:?}",
            manager.heard
        );
        manager.hears("READY", |line| line == "READY=1").await;
        assert_eq!(
            (manager.count("RELOADING=1"), manager.count("READY=1")),
            (round + 1, round + 2)
        );
    }
    relay.terminate();
    assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
}

/// The boot does not wait for a server that is away, but systemd knows why nothing moves.
#[tokio::test]
async fn a_server_that_is_away_does_not_hold_up_the_boot() {
    let mut stage = Stage::new(&outbox("")).await;
    stage.redis.kill().await.expect("its end");
    let mut manager = Manager::listen(&stage);
    let _relay = manager.relay(&stage);
    manager
        .hears("the cause", |line| line.starts_with("STATUS=orders: ") && line.contains("Redis"))
        .await;
    assert_eq!(manager.count("READY=1"), 0, "{:?}", manager.heard);
    manager.hears("READY", |line| line == "READY=1").await;
    stage.redis.start_again().await.expect("Redis");
    manager.hears("that it works", |line| line.starts_with("STATUS=oldest ")).await;
}

/// The kernel queues ten datagrams for who does not read, then a sender waits.
#[tokio::test]
async fn a_manager_that_does_not_read_holds_up_nothing() {
    let stage = Stage::new(&outbox("")).await;
    let mut manager = Manager::listen(&stage);
    let mut relay = manager.relay(&stage);
    manager.hears("READY", |line| line == "READY=1").await;
    let full = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
    full.set_nonblocking(true).expect("a mode");
    while full.send_to(b"STATUS=full\n", &manager.path).is_ok() {}
    let rows = Numbered { rows: 500, keys: 3 };
    rows.insert(&stage).await;
    stage.drained().await;
    rows.check(&stage, "events.order").await;
    relay.signal(Signal::SIGHUP);
    let reloaded = eventually(LIMIT, "a reload", async || {
        relay.log().contains("the new configuration is in effect")
    })
    .await;
    assert!(reloaded.is_ok(), "{}", relay.log_tail());
    relay.terminate();
    assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
}
