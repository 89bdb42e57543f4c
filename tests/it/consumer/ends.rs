//! How a consumer begins and ends: handlers of any form, the caller's own connection, an observer
//! without Prometheus, and credentials that Redis refuses.

use std::collections::BTreeMap;
use std::sync::Arc;

use outflow_connect::redis::Redis;
use outflow_consumer::{
    Consumer, Ended, Entry, Handled, Handler, HandlerError, Observation, Observer, Settings,
};
use outflow_local::eventually;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{LIMIT, STREAM, Scene};

/// How often something was observed, by its name.
#[derive(Clone, Default)]
struct Tally(Arc<Mutex<BTreeMap<String, usize>>>);

impl Observer for Tally {
    fn observe(&self, stream: &str, observation: &Observation) {
        assert_eq!(stream, STREAM);
        let text = format!("{observation:?}");
        let name = text.split(['(', ' ']).next().unwrap_or_default().to_owned();
        *self.0.lock().entry(name).or_default() += 1;
    }
}

fn settings() -> Settings {
    Settings::builder(STREAM, "inventory", "one").build().expect("settings")
}

/// A closure, which any error ends.
fn numbers(seen: Arc<Mutex<Vec<i64>>>) -> impl Handler {
    move |entry: Entry| {
        let seen = Arc::clone(&seen);
        async move {
            let number: i64 = entry.event_type.parse().map_err(HandlerError::permanent)?;
            seen.lock().push(number);
            Ok::<_, HandlerError>(Handled::Done)
        }
    }
}

async fn end(stop: &CancellationToken, task: JoinHandle<Ended>) -> Ended {
    stop.cancel();
    tokio::time::timeout(LIMIT, task).await.expect("its end").expect("no panic")
}

#[tokio::test]
async fn a_closure_over_a_connection_of_the_callers_with_an_observer() {
    let scene = Scene::new().await;
    let (seen, tally) = (Arc::new(Mutex::new(Vec::new())), Tally::default());
    let redis = Redis::open(&scene.redis.url().into(), "ours").expect("an address");
    let handler = Arc::new(numbers(Arc::clone(&seen)));
    let consumer = Consumer::with_connection(&redis, settings(), handler).expect("a consumer");
    let stop = CancellationToken::new();
    let task = tokio::spawn(consumer.observer(tally.clone()).run(stop.clone()));
    for (id, kind) in [("a", "1"), ("b", "two"), ("c", "3")] {
        scene.add(&["id", id, "type", kind, "key", "k", "payload", "{}"]).await;
    }
    eventually(LIMIT, "both numbers", async || *seen.lock() == [1, 3]).await.expect("in time");
    scene.until_none_pending().await;
    assert_eq!(end(&stop, task).await, Ended::Stopped);
    let dead = scene.dead().await;
    assert!(super::about(&dead[0], "dead_error").contains("invalid digit"), "{dead:?}");
    let tally = tally.0.lock().clone();
    let count = |name: &str| tally.get(name).copied().unwrap_or_default();
    let found = ["Handled", "Failed", "DeadLettered", "Attempt"].map(count);
    assert_eq!(found, [2, 1, 1, 3], "{tally:?}");
    // The caller's connection is still the caller's.
    redis.call("PING", outflow_connect::redis::Args::default()).await.expect("an answer");
}

/// Wrong ones from the beginning, none at all, and those that are taken away from a consumer at
/// work. A missing privilege is waited out.
#[tokio::test]
async fn refused_credentials_end_a_run_and_a_missing_privilege_does_not() {
    let scene = Scene::new().await;
    let user = "redis://worker:secret@";
    scene
        .call(
            "ACL",
            &["SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all", "-eval", "-evalsha"],
        )
        .await;
    let url = |prefix: &str| scene.redis.url().replace("redis://", prefix);
    let start = |url: String| {
        let handler = numbers(Arc::default());
        let consumer = Consumer::open(url, settings(), handler).expect("an address");
        let (health, stop) = (consumer.health(), CancellationToken::new());
        (health, stop.clone(), tokio::spawn(consumer.run(stop)))
    };
    let refused = async |(_, stop, task): (_, CancellationToken, JoinHandle<Ended>), code: &str| {
        let ended = tokio::time::timeout(LIMIT, task).await.expect("an end").expect("no panic");
        let Ended::LoginRefused(failure) = ended else { panic!("{ended:?}") };
        assert!(failure.to_string().contains(code), "{failure}");
        assert!(!stop.is_cancelled(), "the caller's token is the caller's");
    };
    refused(start(url("redis://worker:wrong@")), "WRONGPASS").await;

    let (health, stop, task) = start(url(user));
    let missing = async || health.causes().iter().any(|cause| cause.contains("NOPERM"));
    eventually(LIMIT, "the missing privilege to show", missing).await.expect("in time");
    scene.call("ACL", &["SETUSER", "worker", "+eval", "+evalsha"]).await;
    let healthy = async || health.causes().is_empty();
    eventually(LIMIT, "the consumer to work", healthy).await.expect("in time");
    assert_eq!(end(&stop, task).await, Ended::Stopped);

    // Its connections are closed, and it may not come back.
    let working = start(url(user));
    let healthy = async || working.0.causes().is_empty();
    eventually(LIMIT, "the consumer to work", healthy).await.expect("in time");
    scene.call("ACL", &["SETUSER", "worker", "resetpass", ">another"]).await;
    scene.call("CLIENT", &["KILL", "USER", "worker"]).await;
    refused(working, "WRONGPASS").await;

    scene.call("CONFIG", &["SET", "requirepass", "secret"]).await;
    refused(start(scene.redis.url()), "NOAUTH").await;
}
