//! Large entries: memory is bounded by bytes, Redis is not held up, and what is too large is
//! dead-lettered unseen.

use outflow_consumer::Settings;
use outflow_local::eventually;
use uuid::Uuid;

use super::{Consumer, LIMIT, Scene, about};

/// What the defaults need, as the options' help says; both manifests give just that.
fn limit() -> usize {
    let defaults = Settings::builder("s", "g", "c").build().expect("settings");
    let needed = 8 * defaults.prefetch_bytes() + 16 * defaults.entry_bytes_max() + (32 << 20);
    let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/");
    for (file, line) in [
        (
            "kubernetes/components/order-consumer/step/order-consumer.yaml",
            format!("limits: {{memory: {}Mi}}", needed >> 20),
        ),
        ("compose.yaml", format!("mem_limit: {}m", needed >> 20)),
    ] {
        let text = std::fs::read_to_string(format!("{deploy}{file}")).expect(file);
        assert!(text.contains(&line), "{file}: no {line}");
    }
    needed
}

/// The most memory that it ever had.
fn peak(consumer: &Consumer) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", consumer.program.pid()))
        .expect("its status");
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
    eventually(LIMIT * 10, "all to be handled", done).await.expect("in time");
    // What is smaller than it may be takes less.
    assert!(peak(&consumer) < 128 << 20, "{}", peak(&consumer));
    // Larger than all that is read ahead at a time, and larger than is handled.
    scene.own("a", 6 << 20).await;
    scene.own("a", 9 << 20).await;
    let done = async || scene.reserved("a").await == Some(201) && scene.pending().await == 0;
    eventually(LIMIT * 10, "all to be handled", done).await.expect("in time");
    let dead = scene.dead().await;
    assert_eq!(dead.len(), 1);
    let error = about(&dead[0], "dead_error");
    assert!(error.contains("bytes, more than the 8388608"), "{error}");
    assert!(peak(&consumer) < limit(), "{} of {}", peak(&consumer), limit());
    consumer.stop().await;
}

impl Scene {
    /// Appends an order whose headers are so many bytes of short values.
    async fn with_headers(&self, sku: &str, bytes: usize) {
        let id = Uuid::now_v7().to_string();
        let payload = serde_json::json!({
            "event_id": id, "event_type": "OrderCreated", "aggregate_id": id,
            "occurred_at": "2026-01-02T03:04:05Z",
            "order_id": id, "customer_id": "c", "total_amount": "1.00", "currency": "EUR",
            "items": [{ "sku": sku, "quantity": 1, "unit_price": "1.00" }],
        });
        let headers = format!("{{\"a\":[{}0]}}", "0,".repeat(bytes / 2));
        let fields = [
            "id",
            &id,
            "type",
            "OrderCreated",
            "key",
            &id,
            "payload",
            &payload.to_string(),
            "headers",
            &headers,
        ];
        self.add(&fields).await;
    }
}

/// Headers are parsed, and take many times their bytes then. With as many workers as there are
/// unless told otherwise.
#[tokio::test]
async fn headers_count_with_what_they_take_when_parsed() {
    let scene = Scene::new().await;
    for _ in 0..40 {
        scene.own("a", 2_000_000).await;
        scene.with_headers("a", 450_000).await;
    }
    for _ in 0..3 {
        scene.with_headers("a", 5_000_000).await;
    }
    let consumer = scene.start("one", &[]);
    let done = async || scene.reserved("a").await == Some(80) && scene.pending().await == 0;
    eventually(LIMIT * 10, "all to be handled", done).await.expect("in time");
    assert_eq!(scene.dead().await.len(), 3);
    assert!(peak(&consumer) < limit(), "{} of {}", peak(&consumer), limit());
    consumer.stop().await;
}
