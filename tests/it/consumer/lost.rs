//! What left the stream before the group was done with it is counted, and the lag is right
//! afterwards. Keys of any bytes.

use bytes::Bytes;
use outflow_connect::redis::Args;
use outflow_local::eventually;

use super::{Consumer, LIMIT, STREAM, Scene};

const UNREAD: &str = "lost_total{group=\"inventory\",state=\"unread\"";
const PENDING: &str = "lost_total{group=\"inventory\",state=\"pending\"";

impl Scene {
    /// The lag as everybody else is told.
    async fn lag(&self) -> Option<i64> {
        let groups = self.call("XINFO", &["GROUPS", STREAM]).await;
        let about = groups.items()[0].items().to_vec();
        let at = about
            .iter()
            .position(|name| name.text().is_some_and(|name| &name[..] == b"lag"))
            .expect("the lag");
        about[at + 1].int()
    }

    async fn ignored(&self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.add(&["id", "1", "type", "Other", "payload", ""]).await);
        }
        ids
    }

    async fn until_lag_is_right(&self, consumer: &Consumer) {
        let right = async || {
            self.lag().await == Some(0)
                && consumer.metric("lag_entries").await == Some(0.0)
                && consumer.metric("lag_known").await == Some(1.0)
        };
        eventually(LIMIT, "the lag to be right", right).await.expect("in time");
    }
}

#[tokio::test]
async fn entries_that_left_the_stream_unread_are_counted_and_the_lag_is_right() {
    let scene = Scene::new().await;
    let consumer = scene.ready("one", &[]).await;
    scene.ignored(10).await;
    scene.until_none_pending().await;
    scene.until_lag_is_right(&consumer).await;
    consumer.stop().await;

    // Trimmed at the beginning of what is unread.
    scene.ignored(100).await;
    scene.call("XTRIM", &[STREAM, "MAXLEN", "30"]).await;
    let consumer = scene.ready("one", &[]).await;
    consumer.until_metric(UNREAD, 70.0).await;
    scene.until_lag_is_right(&consumer).await;
    consumer.stop().await;
    // Deleted in the middle; all of it, with nothing left to be read.
    let ids = scene.ignored(20).await;
    let gone: Vec<&str> = ids[5..9].iter().map(String::as_str).collect();
    scene.call("XDEL", &[&[STREAM], &gone[..]].concat()).await;
    let consumer = scene.ready("one", &[]).await;
    consumer.until_metric(UNREAD, 4.0).await;
    scene.until_lag_is_right(&consumer).await;
    consumer.stop().await;
    scene.ignored(7).await;
    scene.call("XTRIM", &[STREAM, "MAXLEN", "0"]).await;
    let consumer = scene.ready("one", &[]).await;
    consumer.until_metric(UNREAD, 7.0).await;
    scene.until_lag_is_right(&consumer).await;
    assert_eq!(consumer.metric(UNREAD).await, Some(7.0), "each once");
    assert_eq!(
        consumer.program.log().matches("left the stream before").count(),
        3,
        "each said once"
    );
    // What was read is nobody's loss, and neither is what was there before the group.
    scene.ignored(9).await;
    scene.until_none_pending().await;
    scene.call("XTRIM", &[STREAM, "MAXLEN", "0"]).await;
    scene.call("XGROUP", &["DESTROY", STREAM, "inventory"]).await;
    scene.ignored(3).await;
    consumer.until_metric("ignored_total", 12.0).await;
    scene.until_lag_is_right(&consumer).await;
    assert_eq!(consumer.metric(UNREAD).await, Some(7.0));
    consumer.stop().await;
}

#[tokio::test]
async fn pending_entries_that_were_trimmed_are_counted_and_leave_nothing_behind() {
    let scene = Scene::new().await;
    scene.call("XGROUP", &["CREATE", STREAM, "inventory", "0", "MKSTREAM"]).await;
    for owner in ["one", "gone"] {
        scene.add(&["id", "1", "type", "Other", "key", owner, "payload", ""]).await;
        scene.call("XREADGROUP", &["GROUP", "inventory", owner, "STREAMS", STREAM, ">"]).await;
        scene.call("HSET", &["events.order.inventory.keys", owner, "1-1"]).await;
    }
    scene.call("XTRIM", &[STREAM, "MAXLEN", "0"]).await;
    let consumer = scene.start("one", &["--claim-idle", "10ms"]);
    scene.until_none_pending().await;
    consumer.until_metric(PENDING, 2.0).await;
    assert_eq!(scene.dead().await.len(), 0);
    let tidy = async || scene.call("HLEN", &["events.order.inventory.keys"]).await.int() == Some(0);
    eventually(LIMIT, "the keys to be tidied up", tidy).await.expect("in time");
    consumer.stop().await;
}

/// A key is bytes: one that is no text leaves nothing behind, and neither does a long one.
#[tokio::test]
async fn keys_of_any_bytes_leave_nothing_behind() {
    let scene = Scene::new().await;
    let consumer = scene.ready("one", &[]).await;
    let long = vec![b'k'; 100_000];
    let keys: [&[u8]; 5] = [b"\xff\xfe", b"\xff", b"\x00", &long, b"sha1:"];
    for key in keys {
        for _ in 0..3 {
            let mut args =
                Args::from([STREAM, "*", "id", "1", "type", "Other", "payload", "", "key"]);
            args.push(Bytes::copy_from_slice(key));
            scene.client.call("XADD", args).await.expect("an entry");
        }
    }
    // Three of them are no text, and so no events.
    let done = async || {
        consumer.metric("ignored_total").await == Some(9.0) && scene.dead().await.len() == 6
    };
    eventually(LIMIT, "all to be handled", done).await.expect("in time");
    scene.until_none_pending().await;
    assert_eq!(scene.call("HLEN", &["events.order.inventory.keys"]).await.int(), Some(0));
    consumer.stop().await;
}
