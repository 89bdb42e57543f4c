//! The sleep lock, exact: writers insert, hold their transactions open and commit while the relay
//! falls asleep and wakes; no event waits for `poll_interval`.

use std::time::Duration;

use outflow::relay::outbox::lock;
use outflow_connect::redis::{Args, Redis, Reply};
use outflow_local::eventually;

use crate::support::{LIMIT, Stage, outbox};

/// Any event that waits for it fails the test.
const NEVER: &str = "poll_interval = \"1h\"";

fn insert(key: u32) -> String {
    format!(
        "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values ('order', \
            'k{key}', 'T', '{{}}')"
    )
}

/// Reads entries as they come, blocking.
struct Reader {
    redis: Redis,
    last: String,
    /// Entries that came together with others that were waited for.
    ahead: usize,
}

impl Reader {
    async fn new(stage: &Stage) -> Self {
        let redis = stage.redis_client();
        redis.ready(LIMIT).await.expect("a connection");
        Self { redis, last: "0".to_owned(), ahead: 0 }
    }

    /// Waits for the next `count` entries.
    async fn next(&mut self, count: usize, what: &str) {
        while self.ahead < count {
            let block = Duration::from_secs(20);
            let args: Args = ["BLOCK", "20000", "STREAMS", "events.order", &self.last].into();
            let reply = self.redis.call_blocking("XREAD", args, block).await.expect("a reply");
            assert_ne!(reply, Reply::Nil, "{what}: an event did not come");
            let entries = reply.items()[0].items()[1].items();
            let last = entries.last().expect("an entry").items()[0].text().expect("an id").to_vec();
            self.last = String::from_utf8(last).expect("a text");
            self.ahead += entries.len();
        }
        self.ahead -= count;
    }
}

/// Rounds of one or two transactions that overlap in different ways, each waited for before the
/// next.
async fn rounds(stage: &Stage, rounds: u32, now_and_then: impl AsyncFn()) {
    let mut reader = Reader::new(stage).await;
    let (one, other) = (stage.client().await, stage.client().await);
    for round in 0..rounds {
        if round.is_multiple_of(20) {
            now_and_then().await;
        }
        let pause = "select pg_sleep(random() * 0.002)";
        let held = format!("begin; {}; {pause}; commit", insert(round));
        match round % 4 {
            // Committed at once.
            0 => one.batch_execute(&insert(round)).await.expect("an insert"),
            // Held open while the relay may fall asleep.
            1 => one.batch_execute(&held).await.expect("a transaction"),
            // One is open while the other comes and is delivered; then it commits too.
            2 => {
                other
                    .batch_execute(&format!("begin; {}", insert(round + 1_000_000)))
                    .await
                    .expect("an open one");
                one.batch_execute(&insert(round)).await.expect("an insert");
                reader.next(1, &format!("round {round}, beside an open transaction")).await;
                other.batch_execute("commit").await.expect("a commit");
            }
            // Both at the same time, one of them perhaps while the relay is waking.
            _ => {
                let both = tokio::try_join!(one.batch_execute(&held), other.batch_execute(&held));
                both.expect("two transactions");
                reader.next(1, &format!("round {round}, the first of two")).await;
            }
        }
        reader.next(1, &format!("round {round}")).await;
    }
}

#[tokio::test]
async fn no_event_waits_for_the_poll() {
    let stage = Stage::new(&outbox(NEVER)).await;
    let _relay = stage.relay();
    // However busy the machine is, every twentieth round finds it asleep.
    let asleep = async || {
        let what = "the relay to sleep";
        let sleeps = async || stage.metrics().await.contains("outflow_asleep{outbox=\"orders\"} 1");
        eventually(LIMIT, what, sleeps).await.expect(what);
    };
    rounds(&stage, 2_000, asleep).await;
    let metrics = stage.metrics().await;
    let notified = "outflow_wakeups_total{cause=\"notified\",outbox=\"orders\"} ";
    let wakeups = metrics
        .lines()
        .find_map(|line| line.strip_prefix(notified))
        .and_then(|n| n.parse::<u32>().ok());
    assert!(wakeups.is_some_and(|wakeups| wakeups >= 100), "it hardly slept: {wakeups:?}");
    assert!(
        metrics.contains("outflow_wakeups_total{cause=\"polled\",outbox=\"orders\"} 0"),
        "{metrics}"
    );
}

#[tokio::test]
async fn nor_with_two_members() {
    let stage = Stage::new(&outbox(NEVER)).await;
    let _members = ["one", "two"].map(|name| stage.member(name));
    stage.shared_by(2).await;
    rounds(&stage, 1_000, async || {}).await;
}

/// Without the trigger nobody notifies; polling alone finds every event.
#[tokio::test]
async fn without_the_trigger_polling_finds_them() {
    let stage = Stage::new(&outbox("poll_interval = \"10ms\"")).await;
    stage.sql("drop trigger outflow_wake on outbox").await;
    let _relay = stage.relay();
    rounds(&stage, 200, async || {}).await;
}

/// The member that kept the sleep lock is killed in its sleep, and nobody can take the lock after
/// it: the others must not go on believing that writers notify.
#[tokio::test]
async fn nor_when_the_sleeper_is_gone() {
    let stage = Stage::new(&outbox(NEVER)).await;
    let mut members: Vec<_> = ["one", "two", "three"].map(|name| stage.member(name)).into();
    stage.shared_by(3).await;
    let held = |mode: &str, granted: bool| {
        let class = lock::WAKE;
        format!(
            "select count(*) from pg_locks where locktype = 'advisory' and classid = {class} and \
                mode = '{mode}' and granted = {granted}"
        )
    };
    let until = async |query: String| {
        eventually(LIMIT, &query, async || stage.number(&query).await == 1).await.expect("a lock");
    };
    until(held("ExclusiveLock", true)).await;
    let writer = stage.client().await;
    let wanted = format!(
        "select pg_advisory_lock_shared({}, 'public.outbox'::regclass::oid::integer)",
        lock::WAKE
    );
    let writing = tokio::spawn(async move { writer.batch_execute(&wanted).await.map(|()| writer) });
    until(held("ShareLock", false)).await;
    let pid = stage
        .number(
            "select pid from outflow.member where number = (select slots[1] from outflow.outbox)",
        )
        .await;
    let sleeper = members
        .iter_mut()
        .find(|member| i64::from(member.pid()) == pid)
        .expect("the owner of slot 0");
    sleeper.kill();
    let _writing = writing.await.expect("no panic").expect("the lock");
    stage.shared_by(2).await;
    let mut reader = Reader::new(&stage).await;
    for round in 0..64 {
        stage.sql(&insert(round)).await;
        reader.next(1, &format!("round {round}")).await;
    }
}
