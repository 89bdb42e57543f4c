//! The same in front of a cluster and behind sentinels: wherever the streams are.

use std::path::Path;

use outflow_connect::redis::Args;
use outflow_local::{RedisCluster, RedisSentinel};

use super::{event, found, id, insert};
use crate::support::Topology;

/// One that is sent and read by a group, one that is dead, and one that waits.
async fn events<S>(scene: &Topology<S>, stream: &str) {
    let stage = &scene.stage;
    insert(stage, 1, "order", "a", "{}").await;
    insert(stage, 2, "", "b", "{}").await;
    stage.once().await;
    let create = Args::from(["CREATE", stream, "mail", "0"]);
    scene.redis.call("XGROUP", create).await.expect("a group");
    let read = Args::from(["GROUP", "mail", "one", "STREAMS", stream, ">"]);
    scene.redis.call("XREADGROUP", read).await.expect("an entry");
    insert(stage, 3, "order", "a", "{}").await;
}

/// They are found by their id, and by their key.
async fn are_found<S>(scene: &Topology<S>, stream: &str) {
    let stage = &scene.stage;
    let sent = event(stage, 1).await;
    assert_eq!((&sent["state"], &sent["entries"][0]["stream"]), (&"sent".into(), &stream.into()));
    let groups = sent["entries"][0]["groups"].to_string();
    assert!(groups.contains("mail") && groups.contains("pending"), "{sent}");
    assert_eq!(event(stage, 2).await["state"], "dead");
    assert_eq!(event(stage, 3).await["state"], "waiting");
    let of_key = found(stage, &["--key", "a"]).await;
    let ids = of_key["events"].to_string();
    assert!(ids.contains(&id(1)) && ids.contains(&id(3)) && !ids.contains(&id(2)), "{of_key}");
}

#[tokio::test]
async fn an_event_is_found_on_the_node_that_has_its_stream() {
    const STREAM: &str = "{orders}.events.order";
    let start = async |dir: &Path| RedisCluster::start(dir, 3, false, &[]).await;
    let template = "{{orders}}.events.{aggregate_type}";
    let scene = Topology::over(template, start, RedisCluster::url).await;
    events(&scene, STREAM).await;
    are_found(&scene, STREAM).await;
}

#[tokio::test]
async fn an_event_is_found_on_the_new_master() {
    const STREAM: &str = "events.order";
    let start = async |dir: &Path| RedisSentinel::start(dir, 1, &[]).await;
    let mut scene = Topology::over("events.{aggregate_type}", start, RedisSentinel::url).await;
    events(&scene, STREAM).await;
    are_found(&scene, STREAM).await;
    scene.redis.call("SET", Args::from(["step", "1"])).await.expect("a write");
    let waited = scene.redis.call("WAIT", Args::from(["1", "0"])).await.expect("a replica");
    assert_eq!(waited.int(), Some(1));
    scene.servers.server(0).kill().await.expect("its end");
    // A write goes to the new master once there is one.
    let promoted = async || scene.redis.call("SET", Args::from(["step", "2"])).await.is_ok();
    let promoted = outflow_local::eventually(crate::support::LIMIT, "a new master", promoted);
    promoted.await.expect("a new master");
    are_found(&scene, STREAM).await;
}
