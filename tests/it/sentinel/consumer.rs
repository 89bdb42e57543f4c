//! A consumer through a fail-over: what it has not acknowledged comes again, in order, and nothing
//! is left out.

use std::sync::Arc;
use std::time::Duration;

use outflow_connect::redis::{Args, Redis};
use outflow_consumer::{Consumer, Ended, Entry, Handled, Handler, HandlerError, Settings};
use outflow_local::{RedisSentinel, eventually};
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::support::{LIMIT, connected};

const STREAM: &str = "events.order";

/// The events of one key, without repetitions.
#[derive(Debug, Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Handler for Seen {
    async fn handle(&self, entry: &Entry) -> Result<Handled, HandlerError> {
        let mut seen = self.0.lock();
        let event_id = entry.event_id.to_string();
        if seen.contains(&event_id) {
            return Ok(Handled::Duplicate);
        }
        seen.push(event_id);
        Ok(Handled::Done)
    }
}

async fn write(redis: &Redis, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let number = number.to_string();
        let fields = Args::from([
            STREAM, "*", "id", &number, "type", "Numbered", "key", "k", "payload", "{}",
        ]);
        redis.call("XADD", fields).await.expect("an entry");
    }
}

#[tokio::test]
async fn a_consumer_goes_on_with_the_new_master() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut servers = RedisSentinel::start(dir.path(), 1, &[]).await.expect("servers");
    let url = SecretString::from(servers.url());
    let redis = connected(&servers.url()).await;
    let settings = Settings::builder(STREAM, "readers", "one")
        .retry_delay(Duration::from_millis(20))
        .build()
        .expect("settings");
    let (seen, stop) = (Seen::default(), CancellationToken::new());
    let consumer = Consumer::open(url, settings, seen.clone()).expect("a consumer");
    let running = tokio::spawn(consumer.run(stop.clone()));
    let handled = async |count: usize| {
        let all = eventually(LIMIT, "all to be handled", async || seen.0.lock().len() >= count);
        all.await.expect("an end");
    };
    write(&redis, 0..50).await;
    handled(50).await;
    let in_step = redis.call("WAIT", Args::from(["1", "0"])).await.expect("a replica");
    assert_eq!(in_step.int(), Some(1));

    servers.server(0).kill().await.expect("its end");
    servers.agreed(0, 1).await.expect("another master");
    redis.ready(LIMIT).await.expect("a connection");
    let moved = eventually(LIMIT, "the new master", async || {
        redis.call("PING", Args::default()).await.is_ok()
    });
    moved.await.expect("it answers");
    write(&redis, 50..100).await;
    handled(100).await;
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(*seen.0.lock(), expected);
    stop.cancel();
    assert_eq!(running.await.expect("no panic"), Ended::Stopped);
}
