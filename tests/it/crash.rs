//! Crashes in the middle of a drain: of the relay, of Redis, of Postgres. Nothing lost, nothing
//! doubled, order kept.

use std::error::Error;
use std::sync::Arc;

use bytes::BytesMut;
use outflow::config::{self, Source};
use outflow::relay::outbox::table::Table;
use outflow::relay::sink::{GENERATIONS_KEPT, Position, RedisSink, Sink as _};
use outflow_connect::redis::{self, Args, Reply};
use outflow_local::{Redis, Signal, eventually};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::support::{LIMIT, Numbered, Stage, outbox};

/// Small batches, so that a crash meets many of them.
const SMALL_BATCHES: &str = "batch_rows = 50";
const ROWS: Numbered = Numbered { rows: 20_000, keys: 37 };

#[tokio::test]
async fn a_killed_relay_loses_doubles_and_disorders_nothing() {
    let stage = Stage::new(&outbox(SMALL_BATCHES)).await;
    ROWS.insert(&stage).await;
    for reached in [1_000, 4_000, 9_000] {
        let mut relay = stage.relay();
        stage.reaches("events.order", reached).await;
        relay.kill();
    }
    assert!(stage.length("events.order").await < ROWS.rows, "the last kill came after the end");
    stage.once().await;
    ROWS.check(&stage, "events.order").await;
    stage.drained().await;
}

/// A relay that is frozen while another takes over finds its claims gone when it wakes, and appends
/// nothing.
#[tokio::test]
async fn a_frozen_relay_appends_nothing_when_it_wakes() {
    let stage = Stage::new(&outbox(SMALL_BATCHES)).await;
    ROWS.insert(&stage).await;
    let mut frozen = stage.relay();
    stage.reaches("events.order", 1_000).await;
    frozen.signal(Signal::SIGSTOP);
    // Its seat is held by a session that only the server can end: what `idle_session_timeout` does
    // after 10 s.
    stage
        .sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = \
            'outflow control'",
        )
        .await;
    stage.once().await;
    frozen.signal(Signal::SIGCONT);
    frozen.terminate();
    assert!(frozen.wait(LIMIT).await.expect("an end").success(), "{}", frozen.log_tail());
    ROWS.check(&stage, "events.order").await;
    stage.drained().await;
}

#[tokio::test]
async fn redis_may_crash_and_come_back() {
    let mut stage = Stage::new(&outbox(SMALL_BATCHES)).await;
    ROWS.insert(&stage).await;
    let mut relay = stage.relay();
    stage.reaches("events.order", 1_000).await;
    stage.redis.kill().await.expect("its end");
    stage.not_ready("no connection to Redis").await;
    assert_eq!(stage.number("select count(*) from outflow.dead_letter").await, 0);
    stage.redis.start_again().await.expect("a start");
    stage.drained().await;
    stage.ready(200).await;
    relay.terminate();
    assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
    ROWS.check(&stage, "events.order").await;
}

#[tokio::test]
async fn postgres_may_crash_and_come_back() {
    let mut stage = Stage::new(&outbox(SMALL_BATCHES)).await;
    ROWS.insert(&stage).await;
    let mut relay = stage.relay();
    stage.reaches("events.order", 1_000).await;
    stage.postgres.stop_immediate().await.expect("its end");
    stage.not_ready("Postgres").await;
    stage.postgres.start_again().await.expect("a start");
    stage.drained().await;
    relay.terminate();
    assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
    ROWS.check(&stage, "events.order").await;
}

/// Sessions of the relay end behind its back, one after another.
#[tokio::test]
async fn terminated_sessions_are_recovered_from() {
    let stage = Stage::new(&outbox(SMALL_BATCHES)).await;
    ROWS.insert(&stage).await;
    let _relay = stage.relay();
    for reached in [1_000, 3_000, 6_000, 9_000] {
        stage.reaches("events.order", reached).await;
        let victims = "select count(pg_terminate_backend(pid)) from pg_stat_activity where \
            application_name like 'outflow%'";
        assert!(stage.number(victims).await > 0, "nobody was terminated");
    }
    stage.drained().await;
    ROWS.check(&stage, "events.order").await;
}

/// Both servers and the relay may be started in any order.
#[tokio::test]
async fn servers_may_be_down_at_the_start() {
    let mut stage = Stage::new(&outbox("")).await;
    let numbered = Numbered { rows: 100, keys: 5 };
    numbered.insert(&stage).await;
    stage.redis.kill().await.expect("its end");
    stage.postgres.stop_fast().await.expect("a stop");
    let (code, log) = stage.finished("once", &["run", "--once"]).await;
    assert_eq!(code, Some(69), "{log}");
    let _relay = stage.relay();
    let problem = stage.ready(503).await;
    assert!(problem.contains("orders: "), "{problem}");
    stage.postgres.start_again().await.expect("a start");
    stage.redis.start_again().await.expect("a start");
    stage.drained().await;
    numbered.check(&stage, "events.order").await;
}

/// A single drain that Redis does not let in is not worth another start: somebody must mend the
/// configuration first.
#[tokio::test]
async fn a_single_drain_that_redis_does_not_let_in_names_the_configuration() {
    let stage = Stage::new(&outbox("")).await;
    stage.command("ACL", &["SETUSER", "relay", "on", ">right", "+@all", "~*"]).await;
    let url = stage.redis.url().replace("redis://", "redis://relay:hunter2@");
    stage.configure_with(&url, &outbox(""));
    let (code, log) = stage.finished("once", &["run", "--once"]).await;
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("WRONGPASS") && !log.contains("hunter2"), "{log}");
}

/// A full Redis refuses before anything is appended: nothing goes to the dead letters, and the rest
/// follows later.
#[tokio::test]
async fn a_full_redis_is_waited_for() {
    let stage = Stage::new(&outbox(SMALL_BATCHES)).await;
    stage.command("CONFIG", &["SET", "maxmemory", "3mb"]).await;
    ROWS.insert(&stage).await;
    // It would wait before Redis is full (tests/it/pressure.rs).
    let envs = [("OUTFLOW_REDIS__MEMORY_PAUSE", "0")];
    let _relay = stage.outflow_with("relay", &["run"], &envs);
    stage.not_ready("OOM").await;
    assert!(stage.length("events.order").await < ROWS.rows);
    stage.command("CONFIG", &["SET", "maxmemory", "0"]).await;
    stage.drained().await;
    ROWS.check(&stage, "events.order").await;
    assert_eq!(stage.number("select count(*) from outflow.dead_letter").await, 0);
}

/// Redis forgets everything: that is noticed, said and counted, and the rest is delivered.
#[tokio::test]
async fn a_redis_that_lost_its_data_is_noticed() {
    let stage = Stage::new(&outbox("poll_interval = \"50ms\"")).await;
    let mut relay = stage.relay();
    let numbered = Numbered { rows: 10, keys: 2 };
    numbered.insert(&stage).await;
    stage.drained().await;
    stage.command("FLUSHALL", &[]).await;
    numbered.insert(&stage).await;
    stage.drained().await;
    numbered.check(&stage, "events.order").await;
    let metrics = stage.metrics().await;
    assert!(metrics.contains("outflow_redis_rollbacks_total{outbox=\"orders\"} 1"), "{metrics}");
    relay.terminate();
    assert!(relay.wait(LIMIT).await.expect("an end").success());
    assert!(
        relay.log().contains("Redis lost data that it had acknowledged"),
        "{}",
        relay.log_tail()
    );
}

/// After a fail-over a doubt comes before the next append, and the new generation knows nothing of
/// what was lost: the member itself compares, also when somebody else has raised the generation.
#[tokio::test]
async fn a_loss_is_noticed_when_the_generation_has_changed_since() {
    let stage = Stage::new(&outbox("")).await;
    let relay = stage.member("one");
    Numbered { rows: 10, keys: 2 }.insert(&stage).await;
    stage.drained().await;
    let journal = stage.command("KEYS", &["outflow:journal:*"]).await;
    let journal = journal.items()[0].string().expect("a key");
    let fields = stage.command("HKEYS", &[&journal]).await;
    let last =
        fields.items().iter().filter_map(Reply::string).find(|field| field.starts_with("last:"));
    stage.command("HDEL", &[&journal, &last.expect("the number of its last batch")]).await;
    let other = stage.member("two");
    stage.shared_by(2).await;
    // Whoever raises the generation tells it, if the number was written down by then; else the one
    // who was told it.
    let told = || {
        [&relay, &other]
            .map(|member| member.log().matches("Redis lost data").count())
            .iter()
            .sum::<usize>()
    };
    let noticed = eventually(LIMIT, "the loss", async || told() > 0).await;
    assert!(noticed.is_ok(), "{}\n{}", relay.log_tail(), other.log_tail());
    Numbered { rows: 10, keys: 2 }.insert(&stage).await;
    stage.drained().await;
    assert_eq!(told(), 1, "{}\n{}", relay.log_tail(), other.log_tail());
}

/// By these numbers a member that comes late still sees a loss; but a journal must not grow with
/// every recovery.
#[tokio::test]
async fn the_journal_keeps_the_last_numbers_of_some_generations() {
    const RAISED: i64 = GENERATIONS_KEPT + 10;
    let dir = tempfile::tempdir().expect("a directory");
    let server = Redis::start(dir.path(), &[]).await.expect("Redis");
    let redis = redis::Redis::open(&server.url().into(), "test").expect("an address");
    redis.ready(LIMIT).await.expect("a connection");
    let sink = RedisSink::new(redis.clone(), "test", None, Arc::default());
    for generation in 1..=RAISED {
        assert_eq!(
            sink.raise(generation - 1, "").await.expect("a generation").generation,
            generation
        );
        let last = Args::from([sink.journal_key(), &format!("last:{generation}:1"), "7"]);
        redis.call("HSET", last).await.expect("a number");
        let at = Position { generation, member: 1, batch: 7, previous: 7, record: 0 };
        sink.forget(at, &[]).await.expect("an answer");
    }
    for generation in 1..=RAISED {
        let kept = (generation >= RAISED - GENERATIONS_KEPT).then_some(7);
        assert_eq!(
            sink.last_batch(generation, 1).await,
            Ok(kept),
            "generation {generation} of {RAISED}"
        );
    }
    // One that comes late drops no record that is in use again.
    let record = format!("batch:{RAISED}:1:0");
    redis.call("HSET", [sink.journal_key(), &record, ";x"].into()).await.expect("a record");
    for (batch, is_dropped) in [(6, false), (8, false), (7, true)] {
        let at = Position { generation: RAISED, member: 1, batch, previous: batch, record: 0 };
        assert_eq!(sink.forget(at, &[0]).await.is_ok(), is_dropped, "after batch {batch}");
        let left = redis
            .call("HEXISTS", [sink.journal_key(), &record].into())
            .await
            .expect("an answer")
            .int();
        assert_eq!(left, Some(i64::from(!is_dropped)), "after batch {batch}");
    }
    let fields = redis.call("HLEN", [sink.journal_key()].into()).await.expect("a length").int();
    assert_eq!(
        fields,
        Some(GENERATIONS_KEPT + 4),
        "those, the generation, how its rows are named, and that it is closed"
    );
    redis.close().await;
}

/// A null of any type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The statements of a claim are sent together: had `begin` failed, each would commit by itself,
/// and the delete with it.
#[tokio::test]
async fn a_claim_without_its_transaction_takes_nothing() {
    let stage = Stage::new(&outbox("")).await;
    Numbered { rows: 3, keys: 1 }.insert(&stage).await;
    let client = stage.client().await;
    let config = config::load(&Source { file: Some(stage.path().join("outflow.toml")) })
        .expect("a configuration");
    let claim = Table::inspect(&client, &config.outboxes[0]).await.expect("a table").sql.claim;
    let generation = stage.number("select generation from outflow.outbox").await;
    let claim = client.prepare(&claim).await.expect("a statement");
    let take = async || {
        // From the beginning, ten rows, in this generation; nothing else is asked for.
        let parameters = (1..=claim.params().len()).map(|number| -> &(dyn ToSql + Sync) {
            match number {
                1 => &0_i64,
                4 => &10_i64,
                9 => &generation,
                _ => &Null,
            }
        });
        client.query(&claim, &parameters.collect::<Vec<_>>()).await.expect("rows").len()
    };
    assert_eq!(take().await, 0, "nothing was set");
    client
        .batch_execute("select set_config('outflow.claim', 'open', true)")
        .await
        .expect("a setting");
    assert_eq!(take().await, 0, "it was set for a transaction that had ended");
    client
        .batch_execute("begin; select set_config('outflow.claim', 'open', true)")
        .await
        .expect("a transaction");
    assert_eq!(take().await, 3);
}
