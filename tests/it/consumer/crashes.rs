//! What kills a consumer is found without blaming anybody who was only there; a name is one
//! process's.

use outflow_local::{Signal, eventually};
use uuid::Uuid;

use super::{LIMIT, STREAM, Scene, about};

impl Scene {
    /// Appends an order with a key of its own.
    pub(super) async fn own(&self, sku: &str, pad: usize) {
        let id = Uuid::now_v7().to_string();
        let payload = serde_json::json!({
            "event_id": id, "event_type": "OrderCreated", "aggregate_id": id,
            "occurred_at": "2026-01-02T03:04:05Z",
            "order_id": id, "customer_id": "c".repeat(pad.max(1)), "total_amount": "1.00",
            "currency": "EUR",
            "items": [{ "sku": sku, "quantity": 1, "unit_price": "1.00" }],
        });
        self.add(&["id", &id, "type", "OrderCreated", "key", &id, "payload", &payload.to_string()])
            .await;
    }

    /// The attempts of all that is pending.
    async fn attempts(&self) -> i64 {
        let reply = self.call("XPENDING", &[STREAM, "inventory", "-", "+", "1000"]).await;
        reply.items().iter().filter_map(|row| row.items()[3].int()).sum()
    }

    /// Starts one, and kills it in the middle of an attempt.
    async fn killed(&self, args: &[&str]) {
        let before = self.attempts().await;
        let mut consumer = self.start("one", args);
        eventually(LIMIT, "an attempt", async || self.attempts().await > before)
            .await
            .expect("in time");
        consumer.program.kill();
        consumer.program.wait(LIMIT).await.expect("its end");
    }
}

/// Killed again and again, while a lock holds everything up: whoever was in hand is innocent.
#[tokio::test]
async fn kills_from_outside_blame_nobody_who_was_only_there() {
    let scene = Scene::new().await;
    let consumer = scene.ready("one", &[]).await;
    scene.reserve("a", 1).await;
    scene.until_reserved("a", 1).await;
    consumer.stop().await;
    for _ in 0..200 {
        scene.own("a", 1).await;
    }
    scene.lock("a").await;
    for _ in 0..7 {
        scene.killed(&["--attempts-max", "3"]).await;
    }
    scene.db.batch_execute("commit").await.expect("an unlock");
    let consumer = scene.start("one", &["--attempts-max", "3"]);
    scene.until_reserved("a", 201).await;
    scene.until_none_pending().await;
    assert_eq!(scene.dead().await.len(), 0);
    assert_eq!(scene.marks().await, 0, "nothing is left behind");
    consumer.stop().await;
}

/// The only one in hand, each time: in the end it is blamed.
#[tokio::test]
async fn what_is_alone_at_each_crash_ends_in_the_dead_letters() {
    let scene = Scene::new().await;
    let consumer = scene.ready("one", &[]).await;
    scene.reserve("a", 1).await;
    scene.until_reserved("a", 1).await;
    consumer.stop().await;
    scene.own("a", 1).await;
    scene.lock("a").await;
    // The first crash counts for nobody: others might have been there.
    for _ in 0..3 {
        scene.killed(&["--attempts-max", "2"]).await;
    }
    let consumer = scene.start("one", &["--attempts-max", "2"]);
    eventually(LIMIT, "the dead letter", async || scene.dead().await.len() == 1)
        .await
        .expect("in time");
    let letter = &scene.dead().await[0];
    assert_eq!(about(letter, "dead_attempts"), "2");
    assert!(about(letter, "dead_error").contains("the consumer was killed"), "{letter:?}");
    scene.db.batch_execute("commit").await.expect("an unlock");
    consumer.stop().await;
}

impl Scene {
    /// Fields of the group's state about entries.
    async fn marks(&self) -> usize {
        let reply = self.call("HGETALL", &["events.order.inventory.state"]).await;
        reply.items().iter().filter(|field| super::text(field).starts_with("entry:")).count()
    }
}

#[tokio::test]
async fn of_two_processes_with_one_name_the_second_stands_by() {
    let scene = Scene::new().await;
    let mut one = scene.ready("one", &[]).await;
    let mut other = scene.start("one", &[]);
    other.until_unready("another process is consumer").await;
    scene.reserve("a", 1).await;
    scene.until_reserved("a", 1).await;
    assert_eq!(other.metric("handled_total").await, Some(0.0));
    assert!(
        one.program.log().contains("another process asks for our name"),
        "{}",
        one.program.log_tail()
    );
    one.until_ready().await;
    // Frozen, it answers nobody; awake, it finds that it was displaced before it does anything.
    one.program.signal(Signal::SIGSTOP);
    other.until_ready().await;
    scene.reserve("a", 10).await;
    scene.until_reserved("a", 11).await;
    one.program.signal(Signal::SIGCONT);
    one.until_unready("another process").await;
    scene.reserve("a", 100).await;
    scene.until_reserved("a", 111).await;
    assert_eq!(one.metric("handled_total").await, Some(1.0));
    // A stop hands the name on at once, a kill after a while.
    other.program.terminate();
    assert!(other.program.wait(LIMIT).await.expect("its end").success());
    one.until_ready().await;
    one.program.kill();
    let consumer = scene.ready("one", &[]).await;
    scene.reserve("a", 1_000).await;
    scene.until_reserved("a", 1_111).await;
    assert_eq!(scene.dead().await.len(), 0);
    consumer.stop().await;
}
