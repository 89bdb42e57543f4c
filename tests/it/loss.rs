//! A loss in Redis is noticed although nobody who had the answers lives any more, counted once, and
//! never where there is none.

use std::path::{Path, PathBuf};

use outflow::relay::sink::GENERATIONS_KEPT;
use outflow_local::{Program, Redis, eventually};

use crate::support::{LIMIT, Stage, outbox, write_rounds};

const KEYS: usize = 7;
const LOST: &str = "Redis lost data that it had acknowledged";

/// Servers, with a Redis that keeps what it has when it is told to, and nothing else.
struct Trial {
    stage: Stage,
    redis: Redis,
    dir: PathBuf,
    written: usize,
}

impl Trial {
    async fn new() -> Self {
        let stage = Stage::new(&outbox("")).await;
        let dir = stage.path().join("saved");
        std::fs::create_dir(&dir).expect("a directory");
        let redis = Redis::start(&dir, &["--appendonly", "no"]).await.expect("Redis");
        stage.configure_with(&redis.url(), &outbox(""));
        Self { stage, redis, dir, written: 0 }
    }

    fn dump(&self) -> PathBuf {
        self.dir.join("redis/dump.rdb")
    }

    /// Delivers some hundred events, and waits until that is written down: what a member had no
    /// time to write down before it was killed is not missed.
    async fn deliver(&mut self) {
        write_rounds(&self.stage, KEYS, self.written..self.written + 70).await;
        self.written += 70;
        self.stage.drained().await;
        self.witnessed().await;
    }

    /// Waits until Postgres knows the last batch of each member of this generation.
    async fn witnessed(&self) {
        let redis = self.client().await;
        let journal = redis.call("KEYS", ["outflow:journal:*"].into()).await.expect("keys").items()
            [0]
        .string();
        let fields = redis
            .call("HGETALL", [journal.expect("a key").as_str()].into())
            .await
            .expect("a journal");
        redis.close().await;
        let generation = self.stage.number("select generation from outflow.outbox").await;
        let mine = format!("last:{generation}:");
        for pair in fields.items().chunks_exact(2) {
            let (field, batch) =
                (pair[0].string().expect("a field"), pair[1].string().expect("a number"));
            let Some(member) = field.strip_prefix(&mine) else { continue };
            let known = format!(
                "select count(*) from outflow.witness \
                 where generation = {generation} and member = {member} and batch >= {batch}"
            );
            let what = format!("batch {batch} of member {member} to be written down");
            eventually(LIMIT, &what, async || self.stage.number(&known).await == 1)
                .await
                .expect("a witness");
        }
    }

    async fn save(&self) -> PathBuf {
        let redis = self.client().await;
        redis.call("SAVE", outflow_connect::redis::Args::default()).await.expect("a copy");
        redis.close().await;
        let copy = self.dir.join("copy.rdb");
        std::fs::copy(self.dump(), &copy).expect("a copy");
        copy
    }

    async fn client(&self) -> outflow_connect::redis::Redis {
        let redis = outflow_connect::redis::Redis::open(&self.redis.url().into(), "test")
            .expect("an address");
        redis.ready(LIMIT).await.expect("a connection");
        redis
    }

    /// Redis crashes and comes back with what it had then.
    async fn restore(&mut self, copy: &Path) {
        self.redis.kill().await.expect("its end");
        std::fs::copy(copy, self.dump()).expect("a copy");
        self.redis.start_again().await.expect("a start");
    }

    /// Starts a relay, and tells how many losses it counts until it is at work.
    async fn losses(&self, name: &str) -> (usize, Program) {
        let relay = self.stage.outflow(name, &["run"]);
        self.stage.ready(200).await;
        let metrics = self.stage.metrics().await;
        let count = metrics.lines().find_map(|line| {
            line.strip_prefix("outflow_redis_rollbacks_total{outbox=\"orders\"} ")
        });
        let count = count.and_then(|count| count.parse().ok()).expect(&metrics);
        assert_eq!(relay.log().matches(LOST).count(), count, "{}", relay.log_tail());
        (count, relay)
    }
}

fn stop(mut relay: Program) -> impl Future<Output = ()> {
    relay.terminate();
    async move {
        let end = relay.wait(LIMIT).await.expect("an end");
        assert!(end.success(), "{}", relay.log_tail());
    }
}

/// Stopped or killed, once and again; what was told is not told again.
#[tokio::test]
async fn an_old_copy_put_back_while_the_relay_is_down_is_noticed_once() {
    let mut trial = Trial::new().await;
    let mut relay = trial.losses("first").await.1;
    trial.deliver().await;
    let copy = trial.save().await;
    for (round, is_killed) in [false, true, true, false].into_iter().enumerate() {
        trial.deliver().await;
        if is_killed {
            relay.kill();
        } else {
            stop(relay).await;
        }
        trial.restore(&copy).await;
        let (losses, told) = trial.losses(&format!("told-{round}")).await;
        assert_eq!(losses, 1, "round {round}: {}", told.log_tail());
        stop(told).await;
        let (losses, next) = trial.losses(&format!("next-{round}")).await;
        assert_eq!(losses, 0, "round {round}, told again: {}", next.log_tail());
        relay = next;
        trial.deliver().await;
    }
}

/// Nobody is there to see it either.
#[tokio::test]
async fn a_flush_while_all_are_down_is_noticed() {
    let mut trial = Trial::new().await;
    let relay = trial.losses("first").await.1;
    trial.deliver().await;
    stop(relay).await;
    trial
        .client()
        .await
        .call("FLUSHALL", outflow_connect::redis::Args::default())
        .await
        .expect("an answer");
    assert_eq!(trial.losses("second").await.0, 1);
}

/// Each run is a member of its own.
#[tokio::test]
async fn single_runs_notice_too() {
    let mut trial = Trial::new().await;
    let once = async |trial: &Trial, name: &str| {
        let (code, log) = trial.stage.finished(name, &["run", "--once"]).await;
        assert_eq!(code, Some(0), "{log}");
        log.matches(LOST).count()
    };
    let write = async |trial: &mut Trial| {
        write_rounds(&trial.stage, KEYS, trial.written..trial.written + 70).await;
        trial.written += 70;
    };
    write(&mut trial).await;
    assert_eq!(once(&trial, "first").await, 0);
    write(&mut trial).await;
    let generation = trial.stage.number("select generation from outflow.outbox").await;
    assert_eq!(once(&trial, "second").await, 0);
    // As if it had been saved after the second run had raised the generation, and before it
    // appended.
    let redis = trial.client().await;
    let journal =
        redis.call("KEYS", ["outflow:journal:*"].into()).await.expect("keys").items()[0].string();
    let second = trial.stage.number("select max(member) from outflow.witness").await;
    let last = format!("last:{}:{second}", generation + 1);
    let gone = redis
        .call("HDEL", [journal.expect("a key").as_str(), last.as_str()].into())
        .await
        .expect("an answer");
    assert_eq!(gone.int(), Some(1), "{last}");
    assert_eq!(once(&trial, "third").await, 1);
    assert_eq!(once(&trial, "fourth").await, 0);
}

/// The survivor of two has appended nothing itself since the copy was made.
#[tokio::test]
async fn what_a_dead_member_had_appended_is_missed_by_the_other() {
    let mut trial = Trial::new().await;
    let (_, survivor) = trial.losses("survivor").await;
    let mut other = trial.stage.member("other");
    trial.stage.shared_by(2).await;
    trial.deliver().await;
    let copy = trial.save().await;
    let mine = trial.stage.number("select min(number) from outflow.member").await;
    trial
        .stage
        .sql(&format!(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
             select 'order', 'x' || n, 'T', '{{}}' from generate_series(1, 500) n, outflow.outbox \
             where slots[(hashtextextended('x' || n, 0) & 63) + 1] <> {mine}"
        ))
        .await;
    trial.stage.drained().await;
    trial.witnessed().await;
    other.kill();
    trial.restore(&copy).await;
    let noticed = eventually(LIMIT, "the loss", async || survivor.log().contains(LOST)).await;
    assert!(noticed.is_ok(), "{}", survivor.log_tail());
    trial.deliver().await;
    assert_eq!(survivor.log().matches(LOST).count(), 1, "{}", survivor.log_tail());
}

/// Restarts of all three, a copy that has everything, more generations than the journal remembers,
/// members that come and go: nothing is lost, and nothing is told.
#[tokio::test]
async fn nothing_is_told_where_nothing_is_lost() {
    let mut trial = Trial::new().await;
    let (_, relay) = trial.losses("first").await;
    trial.deliver().await;
    stop(relay).await;
    for round in 0..GENERATIONS_KEPT + 2 {
        write_rounds(&trial.stage, KEYS, trial.written..trial.written + 1).await;
        trial.written += 1;
        let (code, log) = trial.stage.finished("once", &["run", "--once"]).await;
        assert_eq!((code, log.contains(LOST)), (Some(0), false), "round {round}: {log}");
    }
    let rows = trial.stage.number("select count(*) from outflow.witness").await;
    assert!(rows <= GENERATIONS_KEPT + 1, "{rows} rows are kept");
    let (_, mut killed) = trial.losses("killed").await;
    let _other = trial.stage.member("other");
    trial.stage.shared_by(2).await;
    trial.deliver().await;
    killed.kill();
    let copy = trial.save().await;
    trial.restore(&copy).await;
    let (losses, relay) = trial.losses("last").await;
    assert_eq!(losses, 0, "{}", relay.log_tail());
    trial.stage.shared_by(2).await;
    trial.deliver().await;
    let redis = trial.client().await;
    for rounds in crate::support::read_rounds(&redis, "events.order", KEYS).await {
        assert_eq!(rounds, (0..trial.written).collect::<Vec<_>>());
    }
    assert!(!relay.log().contains(LOST), "{}", relay.log_tail());
}
