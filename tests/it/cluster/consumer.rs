//! One consumer over streams on different nodes, while a slot moves and a node crashes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use outflow_connect::redis::{Args, Redis};
use outflow_consumer::{
    Consumer, DeadFilter, DeadLetters, Ended, Entry, Handled, Handler, HandlerError, Retried,
    Settings, SettingsBuilder, Source,
};
use outflow_local::{RedisCluster, eventually};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::support::{LIMIT, connected};

const POISON: &str = "poison";

/// How often each event was handled, in the order of each key.
#[derive(Debug, Clone, Default)]
struct Handling(Arc<Mutex<HashMap<String, Vec<String>>>>);

impl Handler for Handling {
    async fn handle(&self, entry: &Entry) -> Result<Handled, HandlerError> {
        if entry.event_type == POISON {
            return Err(HandlerError::permanent("poison"));
        }
        self.0.lock().entry(entry.key.clone()).or_default().push(entry.event_id.to_string());
        Ok(Handled::Done)
    }
}

struct Scene {
    cluster: RedisCluster,
    redis: Redis,
    /// One on each node.
    streams: Vec<String>,
    _dir: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        // A node's crash stops its streams only.
        let args = ["--cluster-require-full-coverage", "no"];
        let cluster = RedisCluster::start(dir.path(), 3, false, &args).await.expect("a cluster");
        let redis = connected(&cluster.url()).await;
        let mut streams = vec![String::new(); 3];
        for number in 0..50 {
            let stream = format!("events.{number}");
            let owner = cluster.owner(&stream).await.expect("an owner");
            streams[owner] = stream;
        }
        assert!(streams.iter().all(|stream| !stream.is_empty()), "{streams:?}");
        Self { cluster, redis, streams, _dir: dir }
    }

    fn settings(&self) -> Settings {
        let [first, others @ ..] = self.streams.as_slice() else { panic!("no streams") };
        let settings = Settings::builder(first, "readers", "one");
        let settings = others.iter().fold(settings, SettingsBuilder::stream);
        settings.retry_delay(Duration::from_millis(20)).build().expect("settings")
    }

    async fn event(&self, stream: usize, key: &str, id: &str, kind: &str) {
        let name = self.streams[stream].as_str();
        let fields = Args::from([name, "*", "id", id, "type", kind, "key", key, "payload", "{}"]);
        self.redis.call("XADD", fields).await.expect("an entry");
    }

    /// Events of five keys in every stream, numbered from `first` on.
    async fn events(&self, first: usize, count: usize) {
        for number in first..first + count {
            for stream in 0..self.streams.len() {
                for key in 0..5 {
                    self.event(stream, &format!("{stream}.{key}"), &number.to_string(), "Numbered")
                        .await;
                }
            }
        }
    }

    async fn nothing_pending(&self) {
        for stream in &self.streams {
            eventually(LIMIT, &format!("nothing of {stream} to be pending"), async || {
                let reply =
                    self.redis.call("XPENDING", Args::from([stream.as_str(), "readers"])).await;
                reply.is_ok_and(|summary| summary.items()[0].int() == Some(0))
            })
            .await
            .expect("an end");
        }
    }
}

impl Handling {
    async fn until(&self, count: usize) {
        let handled = || self.0.lock().values().map(Vec::len).sum::<usize>();
        let waited = eventually(LIMIT, &format!("{count} events to be handled"), async || {
            handled() >= count
        })
        .await;
        waited.unwrap_or_else(|error| panic!("{error}: {}", handled()));
    }
}

#[tokio::test]
async fn streams_on_different_nodes_a_slot_on_the_move_and_a_crash() {
    let mut scene = Scene::new().await;
    let (handling, stop) = (Handling::default(), CancellationToken::new());
    let url = scene.cluster.url();
    let settings = scene.settings();
    let consumer = Consumer::open(url.as_str(), settings, handling.clone()).expect("a consumer");
    let running = tokio::spawn(consumer.run(stop.clone()));
    scene.events(0, 10).await;
    handling.until(150).await;

    // The slot moves with everything in it: stream, keys in work, dead letters. The stream itself
    // is moved in the middle.
    let moving = scene.streams[0].clone();
    scene.cluster.begin_move(&moving, 1).await.expect("a move");
    scene.events(10, 10).await;
    scene.cluster.move_key(&moving, 0, 1).await.expect("a key moved");
    scene.events(20, 10).await;
    scene.cluster.end_move(&moving, 0, 1).await.expect("the end of a move");
    scene.events(30, 10).await;
    handling.until(600).await;

    // A node crashes: what is on the others goes on meanwhile.
    scene.cluster.server(2).kill().await.expect("an end");
    for number in 40..50 {
        for stream in 0..2 {
            for key in 0..5 {
                scene
                    .event(stream, &format!("{stream}.{key}"), &number.to_string(), "Numbered")
                    .await;
            }
        }
    }
    handling.until(700).await;
    scene.cluster.server(2).start_again().await.expect("a start");
    let back = eventually(LIMIT, "its stream to be back", async || {
        scene.redis.call("XLEN", Args::from([scene.streams[2].as_str()])).await.is_ok()
    });
    back.await.expect("the node");
    for number in 40..50 {
        for key in 0..5 {
            scene.event(2, &format!("2.{key}"), &number.to_string(), "Numbered").await;
        }
    }
    handling.until(750).await;

    // A dead letter is in the slot of its stream, and gets back.
    scene.event(0, "bad", "bad", POISON).await;
    let dead = DeadLetters::open(url, &moving).expect("an address");
    assert_eq!(dead.stream(), format!("{{{moving}}}.dead"));
    dead.ready(LIMIT).await.expect("a connection");
    let letters = eventually(LIMIT, "a dead letter", async || {
        dead.list(&DeadFilter::default()).await.ok().filter(|letters| letters.len() == 1)
    });
    let letters = letters.await.expect("a dead letter");
    assert_eq!(letters[0].stream, moving);
    scene.nothing_pending().await;
    stop.cancel();
    let ended = tokio::time::timeout(LIMIT, running).await.expect("its end");
    assert_eq!(ended.expect("no panic"), Ended::Stopped);
    assert!(matches!(dead.retry(&letters[0]).await, Ok(Retried::As(_))));

    let handled = handling.0.lock();
    let expected: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    assert_eq!(handled.len(), 15);
    for (key, events) in handled.iter() {
        assert_eq!(events, &expected, "{key}: each event once, in order");
    }
}

#[tokio::test]
async fn dead_letters_in_another_slot_are_refused_before_anything_is_read() {
    let url = "redis-cluster://127.0.0.1:1";
    let table = [
        ("events.order", "events.order.dead", "in the same slot, such as \"{events.order}.dead\""),
        ("{shop}.order", "graves", "in the same slot, such as \"{shop}.order.dead\""),
        ("events{}", "events{}.dead", "a name without braces"),
    ];
    for (stream, dead_letter_stream, words) in table {
        let source = Source::new(stream).dead_letters_to(dead_letter_stream);
        let settings = Settings::builder(source, "readers", "one").build().expect("settings");
        let error = Consumer::open(url, settings, Handling::default()).expect_err("a refusal");
        assert!(error.to_string().contains(words), "{error}");
    }
}
