//! The relay on a cluster: several replicas, a slot on the move, a node that crashes; nothing lost,
//! doubled or overtaken.

use std::path::Path;

use outflow_connect::redis::{Args, Reply};
use outflow_local::{RedisCluster, Signal, eventually};

use crate::support::{LIMIT, Topology, read_rounds, write_rounds};

const STREAM: &str = "{orders}.events.order";

type Scene = Topology<RedisCluster>;

impl Scene {
    async fn new() -> Self {
        Self::with(false).await
    }

    async fn with(replicas: bool) -> Self {
        let start = async |dir: &Path| RedisCluster::start(dir, 3, replicas, &[]).await;
        Self::over("{{orders}}.events.{aggregate_type}", start, RedisCluster::url).await
    }

    async fn write(&self, keys: usize, first: usize, count: usize) {
        write_rounds(&self.stage, keys, first..first + count).await;
    }

    async fn read(&self, keys: usize) -> Vec<Vec<usize>> {
        read_rounds(&self.redis, STREAM, keys).await
    }
}

#[tokio::test]
async fn a_slot_moves_and_a_node_crashes_under_two_replicas() {
    const KEYS: usize = 20;
    let mut scene = Scene::new().await;
    let relays = [scene.stage.member("one"), scene.stage.member("two")];
    scene.stage.shared_by(2).await;
    scene.write(KEYS, 0, 20).await;
    scene.stage.drained().await;
    let journals = scene.redis.server_of("orders").await.expect("a node");
    let journals =
        journals.call("KEYS", Args::from(["outflow:journal:*:{orders}"])).await.expect("keys");
    let names: Vec<String> = journals.items().iter().filter_map(Reply::string).collect();
    let is_journal = |name: &&String| !name.contains(".streams:");
    assert_eq!(names.iter().filter(is_journal).count(), 1, "it is beside the streams: {names:?}");

    // The slot moves while events come in: half moved, the script is refused (TRYAGAIN); then sent
    // on.
    let from = scene.servers.owner(STREAM).await.expect("an owner");
    let to = (from + 1) % 3;
    scene.servers.begin_move(STREAM, to).await.expect("a move");
    scene.write(KEYS, 20, 20).await;
    scene.servers.move_key(STREAM, from, to).await.expect("a key moved");
    scene.write(KEYS, 40, 20).await;
    let waiting = eventually(LIMIT, "the relay to be refused", async || {
        ["one", "two"].iter().any(|name| {
            let log = std::fs::read_to_string(scene.stage.path().join(format!("{name}.log")));
            log.is_ok_and(|log| log.contains("TRYAGAIN"))
        })
    });
    waiting.await.expect("a refusal while the slot is in two places");
    scene.servers.end_move(STREAM, from, to).await.expect("the end of a move");
    scene.stage.drained().await;

    // Its new node crashes and comes back with all that it acknowledged.
    scene.write(KEYS, 60, 200).await;
    let half = 100 * i64::try_from(KEYS).expect("small");
    eventually(LIMIT, "some of it", async || {
        scene.redis.call("XLEN", Args::from([STREAM])).await.ok().and_then(|length| length.int())
            > Some(half)
    })
    .await
    .expect("progress");
    scene.servers.server(to).kill().await.expect("an end");
    scene.servers.server(to).start_again().await.expect("a start");
    scene.stage.drained().await;

    let expected: Vec<usize> = (0..260).collect();
    for (key, numbers) in scene.read(KEYS).await.iter().enumerate() {
        assert_eq!(numbers, &expected, "k{key}: nothing lost, doubled or out of order");
    }
    for relay in &relays {
        assert!(!relay.log().contains("Redis lost data"), "{}", relay.log_tail());
    }
    drop(scene.dir);
}

#[tokio::test]
async fn lost_data_is_noticed_and_the_commands_know_their_node() {
    let scene = Scene::new().await;
    let check = scene.stage.asked(&["check"]).await;
    assert!(
        check.stdout.contains("is a cluster; each outbox is in one slot of it"),
        "{}",
        check.stdout
    );
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);

    let relay = scene.stage.relay();
    scene.write(3, 0, 4).await;
    scene.stage.drained().await;
    let status = scene.stage.asked(&["status", "--json"]).await.json();
    let streams = &status[0]["outboxes"][0]["streams"];
    assert_eq!(
        (&streams[0]["name"], &streams[0]["length"]),
        (&STREAM.into(), &12.into()),
        "{status:?}"
    );

    for args in [["stream", "list", "--json"].as_slice(), &["stream", "show", STREAM, "--json"]] {
        let shown = scene.stage.asked(args).await.json();
        assert_eq!(
            (&shown[0]["stream"], &shown[0]["entries"]),
            (&STREAM.into(), &12.into()),
            "{shown:?}"
        );
    }

    let node = scene.servers.owner(STREAM).await.expect("an owner");
    scene.servers.ask(node, "FLUSHALL", &[]).await.expect("an empty node");
    scene.write(3, 4, 4).await;
    scene.stage.drained().await;
    assert!(relay.log().contains("Redis lost acknowledged data"), "{}", relay.log_tail());
    assert_eq!(scene.read(3).await, vec![vec![4, 5, 6, 7]; 3]);
}

/// The replica of the node that has the streams is the one that counts.
#[tokio::test]
async fn an_event_counts_when_its_nodes_replica_has_it() {
    let mut scene = Scene::with(true).await;
    let waiting = [("OUTFLOW_REDIS__WAIT_REPLICAS", "1")];
    let relay = scene.stage.outflow_with("relay", &["run"], &waiting);
    scene.write(3, 0, 4).await;
    scene.stage.drained().await;
    let node = scene.servers.owner(STREAM).await.expect("an owner");
    scene.servers.server(3 + node).signal(Signal::SIGSTOP);
    scene.write(3, 4, 4).await;
    let words = "not on 1 replicas after 5s, but on 0";
    let told = eventually(LIMIT, words, async || relay.log().contains(words));
    assert!(told.await.is_ok(), "{}", relay.log_tail());
    assert_eq!(scene.stage.number("select count(*) from public.outbox").await, 12);
    scene.servers.server(3 + node).signal(Signal::SIGCONT);
    scene.stage.drained().await;
    assert_eq!(scene.read(3).await, vec![(0..8).collect::<Vec<_>>(); 3]);
}

#[tokio::test]
async fn an_address_of_the_wrong_kind_is_told_from_the_right_one() {
    let scene = Scene::new().await;
    let single = scene.servers.url().replace("redis-cluster://", "redis://");
    let single = single.split('?').next().expect("an address").to_owned();
    let check = scene.stage.asked_with(&["check"], &[("OUTFLOW_REDIS__URL", &single)]).await;
    assert!(
        check.stdout.contains(
            "is a node of a cluster; change redis.url to begin with \
            redis-cluster://"
        ),
        "{}",
        check.stdout
    );
    let cluster = scene.stage.redis.url().replace("redis://", "redis-cluster://");
    let check = scene.stage.asked_with(&["check"], &[("OUTFLOW_REDIS__URL", &cluster)]).await;
    assert!(
        check.stdout.contains("is not a cluster; change redis.url to begin with redis://"),
        "{}",
        check.stdout
    );
}

#[tokio::test]
async fn the_permissions_that_check_asks_for_are_enough_also_while_a_slot_moves() {
    let scene = Scene::new().await;
    let on_all = async |rules: &[&str]| {
        for node in 0..3 {
            scene
                .servers
                .ask(node, "ACL", &[&["SETUSER", "outflow"], rules].concat())
                .await
                .expect("a user");
        }
    };
    // As deploy/redis/users.acl has it for a single server, with the other stream names.
    let single = "on >pw resetkeys -@all +eval +evalsha +hget +hgetall +hmget +hkeys +hset +hdel \
        +xadd +ping +info +select \
                  +client|id +client|setname ~outflow:journal:* %W~{orders}.events.*";
    on_all(&single.split_whitespace().collect::<Vec<_>>()).await;
    let url = scene.servers.url().replace("redis-cluster://", "redis-cluster://outflow:pw@");
    let as_user = [("OUTFLOW_REDIS__URL", url.as_str())];
    let check = scene.stage.asked_with(&["check"], &as_user).await;
    assert!(
        check.stdout.contains("run in redis-cli: ACL SETUSER outflow +cluster|slots"),
        "{}",
        check.stdout
    );
    on_all(&["+cluster|slots", "+asking"]).await;
    let check = scene.stage.asked_with(&["check"], &as_user).await;
    // The streams are keys of the script here, and a script may read its keys.
    assert!(
        check.stdout.contains("run in redis-cli: ACL SETUSER outflow ~{orders}.events.*"),
        "{}",
        check.stdout
    );
    on_all(&["~{orders}.events.*"]).await;
    let check = scene.stage.asked_with(&["check"], &as_user).await;
    assert!(
        check.stdout.contains("user outflow has the permissions that the relay needs"),
        "{}",
        check.stdout
    );

    scene.write(3, 0, 1).await;
    let mut once = scene.stage.outflow_with("once", &["run", "--once"], &as_user);
    assert!(once.wait(LIMIT).await.expect("an end").success(), "{}", once.log());
    // Everything is moved, and the move not ended: every script is sent on by ASK.
    let from = scene.servers.owner(STREAM).await.expect("an owner");
    let to = (from + 1) % 3;
    scene.servers.begin_move(STREAM, to).await.expect("a move");
    let keys = scene
        .servers
        .ask(
            from,
            "CLUSTER",
            &["GETKEYSINSLOT", &outflow_connect::redis::slot(STREAM).to_string(), "10"],
        )
        .await;
    for key in keys.expect("keys").items() {
        let key = String::from_utf8(key.text().expect("a text").to_vec()).expect("a text");
        scene.servers.move_key(&key, from, to).await.expect("a key moved");
    }
    scene.write(3, 1, 1).await;
    let mut once = scene.stage.outflow_with("once-more", &["run", "--once"], &as_user);
    assert!(once.wait(LIMIT).await.expect("an end").success(), "{}", once.log());
    assert_eq!(scene.read(3).await, vec![vec![0, 1]; 3]);
}
