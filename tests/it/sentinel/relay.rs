//! The relay through fail-overs: in order, nothing doubled, and what is lost with a master is
//! noticed.

use std::path::Path;

use outflow_connect::redis::Args;
use outflow_local::{Program, RedisSentinel, Signal, eventually, free_port};

use crate::support::{LIMIT, Topology, read_rounds, write_rounds};

const STREAM: &str = "events.order";
const KEYS: usize = 5;
const WAITING: (&str, &str) = ("OUTFLOW_REDIS__WAIT_REPLICAS", "1");

type Scene = Topology<RedisSentinel>;

impl Scene {
    async fn new() -> Self {
        let start = async |dir: &Path| RedisSentinel::start(dir, 1, &[]).await;
        Self::over("events.{aggregate_type}", start, RedisSentinel::url).await
    }

    /// Waits until the replica has all that the master has.
    async fn in_step(&self) {
        self.redis.call("SET", Args::from(["step", "1"])).await.expect("a write");
        let waited = self.redis.call("WAIT", Args::from(["1", "0"])).await.expect("a replica");
        assert_eq!(waited.int(), Some(1));
    }

    /// From now on the replica hears nothing: frozen, and cut off, or it would find the rest in its
    /// socket when it goes on.
    async fn lag(&mut self) {
        self.in_step().await;
        self.servers.server(1).signal(Signal::SIGSTOP);
        let cut = self
            .redis
            .call("CLIENT", Args::from(["KILL", "TYPE", "REPLICA"]))
            .await
            .expect("an answer");
        assert_eq!(cut.int(), Some(1));
    }

    /// The master dies, and the replica goes on with what it has.
    async fn promote(&mut self) {
        self.servers.server(0).kill().await.expect("its end");
        self.servers.server(1).signal(Signal::SIGCONT);
    }
}

#[tokio::test]
async fn a_master_that_dies_costs_neither_order_nor_events() {
    let mut scene = Scene::new().await;
    let check = scene.stage.asked(&["check"]).await;
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
    let relays = [scene.stage.member("one"), scene.stage.member("two")];
    scene.stage.shared_by(2).await;
    write_rounds(&scene.stage, KEYS, 0..20).await;
    scene.stage.drained().await;
    scene.in_step().await;

    scene.servers.server(0).kill().await.expect("its end");
    write_rounds(&scene.stage, KEYS, 20..60).await;
    scene.stage.drained().await;
    let expected: Vec<usize> = (0..60).collect();
    for (key, rounds) in read_rounds(&scene.redis, STREAM, KEYS).await.iter().enumerate() {
        assert_eq!(rounds, &expected, "k{key}: nothing lost, doubled or out of order");
    }
    for relay in &relays {
        assert!(relay.log().contains("the sentinels report a new master"), "{}", relay.log_tail());
        assert!(!relay.log().contains("lost data"), "{}", relay.log_tail());
    }
    drop(scene.dir);
}

/// The replica hears nothing of the last events and is promoted: they are gone, and that is said.
#[tokio::test]
async fn a_replica_that_lags_loses_events_and_the_relay_says_so() {
    let mut scene = Scene::new().await;
    let relay = scene.stage.relay();
    write_rounds(&scene.stage, KEYS, 0..4).await;
    scene.stage.drained().await;
    scene.lag().await;
    write_rounds(&scene.stage, KEYS, 4..8).await;
    scene.stage.drained().await;
    scene.promote().await;
    write_rounds(&scene.stage, KEYS, 8..12).await;
    scene.stage.drained().await;
    let noticed = eventually(LIMIT, "the loss to be noticed", async || {
        relay.log().contains("Redis lost data")
    });
    assert!(noticed.await.is_ok(), "{}", relay.log());
    let kept: Vec<usize> = (0..4).chain(8..12).collect();
    assert_eq!(read_rounds(&scene.redis, STREAM, KEYS).await, vec![kept; KEYS]);
}

/// The same with `wait_replicas`: what the replica does not have is still in the outbox.
#[tokio::test]
async fn a_fail_over_loses_nothing_when_replicas_are_waited_for() {
    let mut scene = Scene::new().await;
    let relay = scene.stage.outflow_with("relay", &["run"], &[WAITING]);
    write_rounds(&scene.stage, KEYS, 0..4).await;
    scene.stage.drained().await;
    scene.lag().await;
    write_rounds(&scene.stage, KEYS, 4..8).await;
    let words = "not on 1 replicas after 5s, but on 0";
    let waiting = eventually(LIMIT, words, async || relay.log().contains(words));
    assert!(waiting.await.is_ok(), "{}", relay.log_tail());
    let left = scene.stage.number("select count(*) from public.outbox").await;
    assert_eq!(left, 4 * i64::try_from(KEYS).expect("small"));
    scene.promote().await;
    scene.servers.agreed(0, 1).await.expect("another master");
    // It has no replica until the old master comes back as one.
    write_rounds(&scene.stage, KEYS, 8..12).await;
    scene.servers.server(0).start_again().await.expect("a start");
    scene.stage.drained().await;
    let expected: Vec<usize> = (0..12).collect();
    assert_eq!(read_rounds(&scene.redis, STREAM, KEYS).await, vec![expected; KEYS]);
    assert!(!relay.log().contains("Redis lost data"), "{}", relay.log_tail());
}

/// Masters die in the middle of everything, one after the other. Returns how many rounds were
/// written, and the relays.
async fn fail_overs(scene: &mut Scene, wait_replicas: &str) -> (usize, [Program; 2]) {
    const FAIL_OVERS: usize = 3;
    let relays = ["one", "two"].map(|name| {
        let admin = format!("127.0.0.1:{}", free_port().expect("a port"));
        let envs =
            [("OUTFLOW_REDIS__WAIT_REPLICAS", wait_replicas), ("OUTFLOW_ADMIN__LISTEN", &admin)];
        scene.stage.outflow_with(name, &["run"], &envs)
    });
    scene.stage.shared_by(2).await;
    let (mut written, mut master) = (0, 0);
    for _ in 0..FAIL_OVERS {
        // More than is delivered before the master dies.
        write_rounds(&scene.stage, KEYS, written..written + 1_000).await;
        written += 1_000;
        let length = async || scene.redis.call("XLEN", Args::from([STREAM])).await.ok()?.int();
        let before = eventually(LIMIT, "the stream", length).await.expect("its length");
        let begun =
            eventually(LIMIT, "progress", async || length().await.is_some_and(|now| now > before));
        begun.await.expect("progress");
        scene.servers.server(master).kill().await.expect("its end");
        scene.servers.agreed(0, 1 - master).await.expect("another master");
        scene.servers.server(master).start_again().await.expect("a start");
        scene.servers.follows(master, 1 - master).await.expect("a replica");
        master = 1 - master;
    }
    write_rounds(&scene.stage, KEYS, written..written + 1).await;
    scene.stage.drained().await;
    (written + 1, relays)
}

#[tokio::test]
async fn fail_overs_under_load_lose_double_and_disorder_nothing() {
    let mut scene = Scene::new().await;
    let (written, relays) = fail_overs(&mut scene, "1").await;
    let expected: Vec<usize> = (0..written).collect();
    for (key, rounds) in read_rounds(&scene.redis, STREAM, KEYS).await.iter().enumerate() {
        assert_eq!(rounds, &expected, "k{key}: nothing lost, doubled or out of order");
    }
    for relay in &relays {
        assert!(!relay.log().contains("Redis lost data"), "{}", relay.log_tail());
    }
}

/// Replication is fast on one machine: about one run in three loses something.
#[tokio::test]
async fn what_fail_overs_lose_is_noticed_and_the_rest_is_in_order() {
    let mut scene = Scene::new().await;
    let (written, relays) = fail_overs(&mut scene, "0").await;
    let keys = read_rounds(&scene.redis, STREAM, KEYS).await;
    for (key, rounds) in keys.iter().enumerate() {
        assert!(
            rounds.is_sorted_by(|one, next| one < next),
            "k{key}: nothing doubled or out of order: {rounds:?}"
        );
    }
    let is_lost = keys.iter().any(|rounds| rounds.len() < written);
    let logs = relays.map(|relay| relay.log());
    let is_noticed = logs.iter().any(|log| log.contains("Redis lost data"));
    assert!(is_noticed || !is_lost, "{}", logs.join("\n"));
}

#[tokio::test]
async fn check_says_what_a_fail_over_may_lose_and_what_waiting_needs() {
    let scene = Scene::new().await;
    let check = async |envs: &[(&str, &str)]| scene.stage.asked_with(&["check"], envs).await;
    let without = check(&[]).await;
    assert!(
        without.stdout.contains(
            "a fail-over may lose the entries that Redis acknowledged last; set \
                redis.wait_replicas"
        ),
        "{}",
        without.stdout
    );
    let with = check(&[WAITING]).await;
    assert!(
        with.stdout.contains("replicas connected: 1; an event must be on 1 of them"),
        "{}",
        with.stdout
    );
    let more = check(&[("OUTFLOW_REDIS__WAIT_REPLICAS", "2")]).await;
    assert!(
        more.stdout.contains("redis.wait_replicas is 2, but the number of connected replicas is 1"),
        "{}",
        more.stdout
    );
    assert_eq!((without.code, with.code, more.code), (Some(0), Some(0), Some(78)));

    let wrong = scene.servers.url().replace("=orders", "=other");
    let wrong = check(&[("OUTFLOW_REDIS__URL", &wrong)]).await;
    assert!(
        wrong.stdout.contains("knows no master \"other\"; correct service_name"),
        "{}",
        wrong.stdout
    );
    assert_eq!(wrong.code, Some(78));

    let rules = "SETUSER outflow on >pw resetkeys -@all +eval +evalsha +hget +hgetall +hmget \
        +hkeys +hset +hdel +xadd +ping \
                 +info +select +client|id +client|setname ~outflow:journal:* %W~events.*";
    let user = scene.redis.call("ACL", rules.split_whitespace().collect());
    user.await.expect("a user");
    let url = scene.servers.url().replace("redis-sentinel://", "redis-sentinel://outflow:pw@");
    let as_user = [("OUTFLOW_REDIS__URL", url.as_str()), WAITING];
    let denied = check(&as_user).await;
    assert!(
        denied.stdout.contains("ACL SETUSER outflow +wait +client|getname"),
        "{}",
        denied.stdout
    );
    scene
        .redis
        .call("ACL", Args::from(["SETUSER", "outflow", "+wait", "+client|getname"]))
        .await
        .expect("rights");
    assert_eq!(check(&as_user).await.code, Some(0));
    write_rounds(&scene.stage, KEYS, 0..2).await;
    let mut once = scene.stage.outflow_with("once", &["run", "--once"], &as_user);
    assert!(once.wait(LIMIT).await.expect("an end").success(), "{}", once.log());
    assert_eq!(read_rounds(&scene.redis, STREAM, KEYS).await, vec![vec![0, 1]; KEYS]);
}
