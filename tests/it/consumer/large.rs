//! Large entries: memory is bounded by bytes, Redis is not held up, and what is too large is dead-lettered unseen.

use outflow::local::eventually;

use super::{Consumer, LIMIT, Scene, about};

/// The limit of deploy/kubernetes/components/order-consumer, in bytes.
fn limit() -> usize {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/components/order-consumer/step/order-consumer.yaml");
    let text = std::fs::read_to_string(path).expect("the manifest");
    let line = text.lines().find(|line| line.contains("limits: {memory:")).expect("the limit");
    let mebibytes = line.split("memory: ").nth(1).and_then(|rest| rest.split("Mi").next()).expect("a number");
    mebibytes.parse::<usize>().expect("a number") << 20
}

/// The most memory that it ever had.
fn peak(consumer: &Consumer) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", consumer.program.pid())).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the peak");
    line.split_whitespace().nth(1).expect("a number").parse::<usize>().expect("a number") << 10
}

#[tokio::test]
async fn large_entries_stay_within_the_limit_of_the_manifest() {
    let scene = Scene::new().await;
    for _ in 0..200 {
        scene.own("a", 1_000_000).await;
    }
    let consumer = scene.start("one", &["--workers", "5"]);
    let done = async || scene.reserved("a").await == Some(200) && scene.pending().await == 0;
    eventually(LIMIT * 3, "all to be handled", done).await.expect("in time");
    assert!(peak(&consumer) < limit(), "{} of {}", peak(&consumer), limit());
    // Larger than all that is read ahead at a time, and larger than is handled.
    scene.own("a", 6 << 20).await;
    scene.own("a", 9 << 20).await;
    let done = async || scene.reserved("a").await == Some(201) && scene.pending().await == 0;
    eventually(LIMIT * 3, "all to be handled", done).await.expect("in time");
    let dead = scene.dead().await;
    assert_eq!(dead.len(), 1);
    let error = about(&dead[0], "dead_error");
    assert!(error.contains("bytes, more than the 8388608"), "{error}");
    assert!(peak(&consumer) < limit(), "{} of {}", peak(&consumer), limit());
    consumer.stop().await;
}
