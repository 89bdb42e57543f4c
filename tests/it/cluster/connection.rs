//! Each command reaches the node that has its key, once, also while the key is on its way to
//! another node.

use outflow_connect::redis::{Args, Failure, Redis, Reply, Script, slot};
use outflow_local::RedisCluster;

use crate::support::{LIMIT, connected};

async fn count(redis: &Redis, key: &str) -> Result<i64, Failure> {
    redis.call("INCR", Args::from([key])).await.map(|reply| reply.int().expect("a number"))
}

#[tokio::test]
async fn a_command_is_carried_out_once_wherever_its_key_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let cluster = RedisCluster::start(dir.path(), 3, false, &[]).await.expect("a cluster");
    let redis = connected(&cluster.url()).await;
    let keys: Vec<String> = (0..30).map(|number| format!("key-{number}")).collect();
    let mut of_node = [0; 3];
    for key in &keys {
        assert_eq!(count(&redis, key).await, Ok(1), "{key}");
        of_node[cluster.owner(key).await.expect("an owner")] += 1;
    }
    assert!(of_node.iter().all(|keys| *keys > 0), "{of_node:?}");
    // What names no key can be asked of the node that has one.
    for key in &keys[..5] {
        let server = redis.server_of(key).await.expect("a server");
        let info = server.call("KEYS", Args::from(["key-*"])).await.expect("keys");
        assert!(
            info.items()
                .iter()
                .any(|found| found.text().is_some_and(|found| found == key.as_bytes())),
            "{key}"
        );
    }
    redis.close().await;
}

#[tokio::test]
async fn a_slot_on_the_move_executes_nothing_twice_and_nothing_half() {
    let dir = tempfile::tempdir().expect("a directory");
    let cluster = RedisCluster::start(dir.path(), 3, false, &[]).await.expect("a cluster");
    let redis = connected(&cluster.url()).await;
    let (one, two) = ("{moving}.one", "{moving}.two");
    let both = Script::new("redis.call('INCR', KEYS[1]); return redis.call('INCR', KEYS[2])");
    let run = async || redis.script(&both, &[one, two], Args::default()).await;
    assert_eq!(run().await, Ok(Reply::Int(1)));

    let from = cluster.owner(one).await.expect("an owner");
    let to = (from + 1) % 3;
    cluster.begin_move(one, to).await.expect("a move");
    assert_eq!(run().await, Ok(Reply::Int(2)), "both keys are still there");
    cluster.move_key(one, from, to).await.expect("a key moved");
    assert_eq!(count(&redis, one).await, Ok(3), "sent on by ASK");
    assert_eq!(count(&redis, two).await, Ok(3), "not moved yet");
    // Half of its keys are here and half are there: refused for certain, nothing of it is done.
    assert_eq!(run().await.expect_err("a refusal").code(), Some("TRYAGAIN"));
    cluster.move_key(two, from, to).await.expect("a key moved");
    assert_eq!(
        run().await,
        Ok(Reply::Int(4)),
        "sent on by ASK, a script that the new node does not know"
    );
    assert_eq!(cluster.owner(two).await.expect("an owner"), from, "the move has not ended");
    cluster.end_move(one, from, to).await.expect("the end of a move");
    assert_eq!(run().await, Ok(Reply::Int(5)), "sent on by MOVED");
    assert_eq!((count(&redis, one).await, count(&redis, two).await), (Ok(6), Ok(6)));
    redis.close().await;
}

#[tokio::test]
async fn keys_in_different_slots_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let cluster = RedisCluster::start(dir.path(), 3, false, &[]).await.expect("a cluster");
    let redis = connected(&cluster.url()).await;
    assert_ne!(slot("a"), slot("b"));
    let refusal = redis
        .script(&Script::new("return 1"), &["a", "b"], Args::default())
        .await
        .expect_err("a refusal");
    assert_eq!(refusal.code(), Some("CROSSSLOT"));
    redis.close().await;
}

#[tokio::test]
async fn a_failover_is_found_and_a_node_that_comes_back_is_used_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut cluster = RedisCluster::start(dir.path(), 3, true, &[]).await.expect("a cluster");
    let redis = connected(&cluster.url()).await;
    let key = "counter";
    assert_eq!(count(&redis, key).await, Ok(1));
    let master = cluster.owner(key).await.expect("an owner");
    // So that the failover loses nothing.
    let synced =
        redis.server_of(key).await.expect("a server").call("WAIT", Args::from(["1", "0"])).await;
    assert_eq!(synced.map(|reply| reply.int()), Ok(Some(1)));

    cluster.server(master).kill().await.expect("an end");
    let answered = outflow_local::eventually(LIMIT, "the replica to take over", async || {
        count(&redis, key).await.ok()
    });
    assert_eq!(
        answered.await.expect("a failover"),
        2,
        "nothing was repeated while nobody answered"
    );
    assert_eq!(cluster.owner(key).await.expect("an owner"), master + 3);

    // The old master is a replica now. Back to it by hand.
    cluster.server(master).start_again().await.expect("a start");
    let back = outflow_local::eventually(LIMIT, "the old master to take over", async || {
        let _ = cluster.ask(master, "CLUSTER", &["FAILOVER"]).await;
        cluster.owner(key).await.ok().filter(|owner| *owner == master)
    });
    back.await.expect("a failover by hand");
    let answered =
        outflow_local::eventually(LIMIT, "an answer", async || count(&redis, key).await.ok());
    assert_eq!(answered.await.expect("an answer"), 3);
    redis.close().await;
}
