//! Trimming while relays are killed, consumers die with entries that others take over, and a group
//! comes late: each group gets every event, in order.

use std::collections::BTreeMap;

use outflow_connect::redis::{Args, Redis, Reply};
use outflow_local::eventually;

use crate::support::{Entry, LIMIT, Stage, check_numbered, entry, outbox};

const STREAM: &str = "events.order";
const KEYS: i64 = 20;
const ROUNDS: i64 = 12;
const ROWS: i64 = 1_000;

/// A group: what its consumers have handled, in the order in which they were given it.
struct Group {
    name: &'static str,
    /// By id: an entry that is taken over is the same one.
    handled: BTreeMap<String, Entry>,
    consumer: usize,
}

impl Group {
    async fn new(redis: &Redis, name: &'static str) -> Self {
        let args = ["CREATE", STREAM, name, "0", "MKSTREAM"];
        redis.call("XGROUP", Args::from(args)).await.expect("a group");
        Self { name, handled: BTreeMap::new(), consumer: 0 }
    }

    /// Reads so many entries, and acknowledges them unless the consumer dies with them.
    async fn read(&mut self, redis: &Redis, count: usize, dies: bool) {
        let (count, consumer) = (count.to_string(), self.consumer.to_string());
        let args = ["GROUP", self.name, &consumer, "COUNT", &count, "STREAMS", STREAM, ">"];
        let reply = redis.call("XREADGROUP", Args::from(args)).await.expect("an answer");
        if dies {
            self.consumer += 1;
        } else if let Some(stream) = reply.items().first() {
            self.handle(redis, stream.items()[1].items()).await;
        }
    }

    /// Another consumer takes over what dead ones have left.
    async fn take_over(&mut self, redis: &Redis) {
        let consumer = self.consumer.to_string();
        loop {
            let args = [STREAM, self.name, &consumer, "0", "0", "COUNT", "500"];
            let reply = redis.call("XAUTOCLAIM", Args::from(args)).await.expect("an answer");
            let [_next, entries, deleted] = reply.items() else { panic!("{reply:?}") };
            assert!(deleted.items().is_empty(), "{}: pending entries are gone", self.name);
            if entries.items().is_empty() {
                return;
            }
            self.handle(redis, entries.items()).await;
        }
    }

    async fn handle(&mut self, redis: &Redis, entries: &[Reply]) {
        let mut args = Args::from([STREAM, self.name]);
        for item in entries {
            let id = item.items()[0].string().expect("an id");
            args.text(id.as_str());
            // Ids of one width sort as they came: Redis's clock has 13 digits.
            let (ms, seq) = id.split_once('-').expect("an id");
            self.handled.insert(format!("{ms}-{seq:0>20}"), entry(item));
        }
        if !entries.is_empty() {
            redis.call("XACK", args).await.expect("an acknowledgement");
        }
    }

    async fn finish(&mut self, redis: &Redis) {
        let all = usize::try_from(ROUNDS * ROWS).expect("small");
        let what = format!("{} to handle every event", self.name);
        for _ in 0..1_000 {
            self.take_over(redis).await;
            self.read(redis, 2_000, false).await;
            if self.handled.len() == all {
                break;
            }
        }
        assert_eq!(self.handled.len(), all, "{what}");
        let entries: Vec<Entry> = self.handled.values().cloned().collect();
        let counted = check_numbered(&entries);
        assert_eq!(counted.len(), usize::try_from(KEYS).expect("small"), "{what}");
        assert!(counted.values().all(|count| *count == ROUNDS * ROWS / KEYS), "{counted:?}");
    }
}

async fn insert(stage: &Stage, round: i64) {
    let first = round * ROWS;
    let last = first + ROWS - 1;
    let rows = format!(
        "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
         select 'order', 'k' || i % {KEYS}, 'Counted', \
         jsonb_build_object('key', 'k' || i % {KEYS}, 'n', i / {KEYS} + 1) \
         from generate_series({first}, {last}) i"
    );
    stage.sql(&rows).await;
}

#[tokio::test]
async fn each_group_gets_every_event_whoever_dies_meanwhile() {
    let trimmed = "[outbox.trim]\nwhen = \"consumed\"\ngroups = [\"early\", \"late\"]";
    let stage = Stage::new(&outbox(trimmed)).await;
    let redis = stage.redis_client();
    redis.ready(LIMIT).await.expect("a connection");
    let mut early = Group::new(&redis, "early").await;
    let mut late = None;
    let (relay, mut other) = (stage.relay(), stage.member("other"));
    stage.shared_by(2).await;
    for round in 0..ROUNDS {
        insert(&stage, round).await;
        early.read(&redis, 700, round % 3 == 1).await;
        if round == ROUNDS / 3 {
            late = Some(Group::new(&redis, "late").await);
        }
        if let Some(late) = &mut late {
            late.read(&redis, 1_200, round % 2 == 0).await;
        }
        if round % 4 == 2 {
            // One that owns slots dies, and another one comes.
            other.kill();
            other = stage.member(&format!("other-{round}"));
            early.take_over(&redis).await;
        }
        stage.drained().await;
    }
    let mut late = late.expect("it came");
    late.finish(&redis).await;
    early.finish(&redis).await;
    // All of it was read, and goes.
    let gone = eventually(LIMIT, "an almost empty stream", async || {
        let length = redis.call("XLEN", Args::from([STREAM])).await.expect("a length");
        length.int().is_some_and(|length| length <= 100)
    });
    assert!(gone.await.is_ok(), "{}\n{}", relay.log_tail(), other.log_tail());
    for program in [&relay, &other] {
        assert!(!program.log().contains("had not read"), "{}", program.log_tail());
    }
    redis.close().await;
}
