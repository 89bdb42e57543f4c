//! A kept outbox over a cluster and over sentinels: what a fail-over loses is sent again, and
//! nothing else.

use std::path::Path;

use outflow_connect::redis::Args;
use outflow_local::{RedisCluster, RedisSentinel, Signal, eventually};

use super::kept_with;
use crate::support::{LIMIT, Topology, read_rounds, write_rounds};

const KEYS: usize = 5;
const WAITING: (&str, &str) = ("OUTFLOW_REDIS__WAIT_REPLICAS", "1");

type Cluster = Topology<RedisCluster>;
type Sentinel = Topology<RedisSentinel>;

async fn cluster(replicas: bool) -> Cluster {
    let start = async |dir: &Path| RedisCluster::start(dir, 3, replicas, &[]).await;
    let sections = kept_with("batch_rows = 20").replace("\"events.", "\"{{orders}}.events.");
    Cluster::sections(sections, start, RedisCluster::url).await
}

async fn sentinel() -> Sentinel {
    let start = async |dir: &Path| RedisSentinel::start(dir, 1, &[]).await;
    Sentinel::sections(kept_with("batch_rows = 20"), start, RedisSentinel::url).await
}

/// Waits until a stream has so many rounds of each key.
async fn reaches<S>(scene: &Topology<S>, stream: &str, rounds: usize) {
    let wanted = i64::try_from(rounds * KEYS).expect("few");
    let reached = async || {
        let length = scene.redis.call("XLEN", Args::from([stream])).await;
        length.ok().and_then(|length| length.int()).is_some_and(|length| length >= wanted)
    };
    eventually(LIMIT, &format!("{stream} to reach {wanted}"), reached).await.expect("progress");
}

/// Each of these rounds once, in order.
async fn has<S>(scene: &Topology<S>, stream: &str, rounds: usize) {
    reaches(scene, stream, rounds).await;
    let expected: Vec<usize> = (0..rounds).collect();
    for (key, found) in read_rounds(&scene.redis, stream, KEYS).await.iter().enumerate() {
        assert_eq!(found, &expected, "k{key}: nothing lost, doubled or out of order");
    }
}

#[tokio::test]
async fn a_cluster_whose_slot_moves_and_whose_node_crashes() {
    const STREAM: &str = "{orders}.events.order";
    let mut scene = cluster(false).await;
    let relays = [scene.stage.member("one"), scene.stage.member("two")];
    scene.stage.shared_by(2).await;
    write_rounds(&scene.stage, KEYS, 0..20).await;
    has(&scene, STREAM, 20).await;
    let from = scene.servers.owner(STREAM).await.expect("an owner");
    let to = (from + 1) % 3;
    scene.servers.begin_move(STREAM, to).await.expect("a move");
    write_rounds(&scene.stage, KEYS, 20..40).await;
    scene.servers.move_key(STREAM, from, to).await.expect("a key moved");
    write_rounds(&scene.stage, KEYS, 40..60).await;
    let waiting = eventually(LIMIT, "a relay to be refused", async || {
        relays.iter().any(|relay| relay.log().contains("TRYAGAIN"))
    });
    waiting.await.expect("a refusal while the slot is in two places");
    scene.servers.end_move(STREAM, from, to).await.expect("the end of a move");
    has(&scene, STREAM, 60).await;

    write_rounds(&scene.stage, KEYS, 60..400).await;
    reaches(&scene, STREAM, 150).await;
    scene.servers.server(to).kill().await.expect("an end");
    scene.servers.server(to).start_again().await.expect("a start");
    has(&scene, STREAM, 400).await;

    for relay in &relays {
        assert!(!relay.log().contains("Redis lost data"), "{}", relay.log_tail());
    }
    drop(relays);
    has(&scene, STREAM, 400).await;
}

/// An event counts when the replica of its node has it.
#[tokio::test]
async fn a_cluster_whose_replicas_are_waited_for() {
    const STREAM: &str = "{orders}.events.order";
    let mut scene = cluster(true).await;
    let relay = scene.stage.outflow_with("relay", &["run"], &[WAITING]);
    write_rounds(&scene.stage, KEYS, 0..4).await;
    has(&scene, STREAM, 4).await;
    let node = scene.servers.owner(STREAM).await.expect("an owner");
    scene.servers.server(3 + node).signal(Signal::SIGSTOP);
    write_rounds(&scene.stage, KEYS, 4..8).await;
    let words = "not on 1 replicas after 5s, but on 0";
    let told = eventually(LIMIT, words, async || relay.log().contains(words));
    assert!(told.await.is_ok(), "{}", relay.log_tail());
    scene.servers.server(3 + node).signal(Signal::SIGCONT);
    write_rounds(&scene.stage, KEYS, 8..12).await;
    has(&scene, STREAM, 12).await;
}

/// Waits until the replica has all that the master has, and lets it hear nothing from then on.
async fn lag(scene: &mut Sentinel) {
    scene.redis.call("SET", Args::from(["step", "1"])).await.expect("a write");
    let waited = scene.redis.call("WAIT", Args::from(["1", "0"])).await.expect("a replica");
    assert_eq!(waited.int(), Some(1));
    scene.servers.server(1).signal(Signal::SIGSTOP);
    let kill = Args::from(["KILL", "TYPE", "REPLICA"]);
    let cut = scene.redis.call("CLIENT", kill).await.expect("an answer");
    assert_eq!(cut.int(), Some(1));
}

/// The replica hears nothing of the last events and is promoted: they are sent again.
#[tokio::test]
async fn what_a_fail_over_loses_is_sent_again() {
    const STREAM: &str = "events.order";
    let mut scene = sentinel().await;
    let relay = scene.stage.relay();
    write_rounds(&scene.stage, KEYS, 0..4).await;
    has(&scene, STREAM, 4).await;
    lag(&mut scene).await;
    write_rounds(&scene.stage, KEYS, 4..8).await;
    has(&scene, STREAM, 8).await;
    scene.servers.server(0).kill().await.expect("its end");
    scene.servers.server(1).signal(Signal::SIGCONT);
    scene.servers.agreed(0, 1).await.expect("another master");
    write_rounds(&scene.stage, KEYS, 8..12).await;
    has(&scene, STREAM, 12).await;
    let log = relay.log();
    assert!(log.contains("Redis lost data"), "{log}");
    has(&scene, STREAM, 12).await;
}

/// Masters die in the middle of everything, one after the other, and nobody waits for replicas.
#[tokio::test]
async fn fail_overs_under_load_lose_nothing_that_is_not_sent_again() {
    const STREAM: &str = "events.order";
    let mut scene = sentinel().await;
    let relays = ["one", "two"].map(|name| scene.stage.member(name));
    scene.stage.shared_by(2).await;
    let (mut written, mut master) = (0, 0);
    for _ in 0..3 {
        write_rounds(&scene.stage, KEYS, written..written + 1_000).await;
        reaches(&scene, STREAM, written + 10).await;
        written += 1_000;
        scene.servers.server(master).kill().await.expect("its end");
        scene.servers.agreed(0, 1 - master).await.expect("another master");
        scene.servers.server(master).start_again().await.expect("a start");
        scene.servers.follows(master, 1 - master).await.expect("a replica");
        master = 1 - master;
    }
    write_rounds(&scene.stage, KEYS, written..written + 1).await;
    has(&scene, STREAM, written + 1).await;
    drop(relays);
    has(&scene, STREAM, written + 1).await;
}
