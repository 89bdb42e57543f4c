//! A relay through a transaction pooler: `postgres.url` leads to the pooler, and
//! `postgres.control_url` around it.

use outflow_local::{Program, eventually, free_port, number};

use super::{INSERT, POOLED, client, left};
use crate::support::{LIMIT, Numbered, PgBouncer, Stage, check_numbered, outbox};

const ROWS: Numbered = Numbered { rows: 3_000, keys: 23 };

/// The two addresses as variables, with a port for the probes.
struct Through {
    url: String,
    control: String,
}

impl Through {
    fn new(pool: &PgBouncer, stage: &Stage) -> Self {
        Self { url: pool.url(), control: stage.postgres.url() }
    }

    fn envs(&self) -> [(&str, &str); 2] {
        [("OUTFLOW_POSTGRES__URL", &self.url), ("OUTFLOW_POSTGRES__CONTROL_URL", &self.control)]
    }

    fn relay(&self, stage: &Stage) -> Program {
        stage.outflow_with("relay", &["run"], &self.envs())
    }

    fn member(&self, stage: &Stage, name: &str) -> Program {
        let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
        let envs = [&self.envs()[..], &[("OUTFLOW_ADMIN__LISTEN", listen.as_str())]].concat();
        stage.outflow_with(name, &["run"], &envs)
    }
}

fn kept(more: &str) -> String {
    outbox(&format!("settle = \"keep\"\n{more}"))
}

async fn transactions(stage: &Stage, size: usize) -> PgBouncer {
    PgBouncer::start(stage.postgres.port(), "transaction", size, stage.path()).await
}

/// Members come and crash, and what is left in the sessions that applications get is nothing.
#[tokio::test]
async fn members_deliver_once_and_in_order_and_take_over() {
    for (size, section) in [
        (1, outbox("batch_rows = 20")),
        (3, outbox("batch_rows = 20")),
        (1, kept("batch_rows = 20")),
        (3, kept("batch_rows = 20")),
    ] {
        let stage = Stage::new(&section).await;
        let pool = transactions(&stage, size).await;
        let through = Through::new(&pool, &stage);
        let application = client(&pool.url()).await;
        let before = left(&application).await;
        let mut first = through.member(&stage, "first");
        let second = through.member(&stage, "second");
        stage.shared_by(2).await;
        ROWS.insert(&stage).await;
        stage.reaches("events.order", 500).await;
        first.kill();
        stage.reaches("events.order", ROWS.rows).await;
        stage.shared_by(1).await;
        ROWS.check(&stage, "events.order").await;
        let pooled = stage.number(POOLED).await;
        assert!(usize::try_from(pooled).is_ok_and(|pooled| pooled <= size), "{pooled} of {size}");
        drop(second);
        for _ in 0..size {
            application.batch_execute(INSERT).await.expect("an event");
            assert_eq!(left(&application).await, before, "with {size}");
        }
    }
}

/// With `poll_interval` at an hour, every event is found by a notification alone.
#[tokio::test]
async fn a_sleeping_relay_is_woken() {
    for section in [outbox("poll_interval = \"1h\""), kept("poll_interval = \"1h\"")] {
        let stage = Stage::new(&section).await;
        let pool = transactions(&stage, 2).await;
        let _relay = Through::new(&pool, &stage).relay(&stage);
        stage.ready(200).await;
        for round in 1..=20 {
            Numbered { rows: 1, keys: 1 }.insert(&stage).await;
            stage.reaches("events.order", round).await;
        }
    }
}

/// While the pooler is away nothing is delivered and nothing is lost.
#[tokio::test]
async fn a_pooler_that_stops_is_waited_for() {
    for section in [outbox("batch_rows = 10"), kept("batch_rows = 10")] {
        let stage = Stage::new(&section).await;
        let mut pool = transactions(&stage, 3).await;
        let relay = Through::new(&pool, &stage).relay(&stage);
        stage.ready(200).await;
        ROWS.insert(&stage).await;
        for reached in [300, 900] {
            stage.reaches("events.order", reached).await;
            pool.stop().await;
            stage.ready(503).await;
            pool.start_again().await;
        }
        stage.reaches("events.order", ROWS.rows).await;
        ROWS.check(&stage, "events.order").await;
        assert!(!relay.log().contains("Redis lost data"), "{}", relay.log_tail());
    }
}

/// Rows that cannot be delivered go to the dead letters, by the statements of both examinations.
#[tokio::test]
async fn what_cannot_be_delivered_is_set_aside() {
    let limits = "batch_bytes = \"1KiB\"\nevent_bytes_max = \"2KB\"";
    for section in [outbox(limits), kept(limits)] {
        let stage = Stage::new(&section).await;
        let pool = transactions(&stage, 2).await;
        let relay = Through::new(&pool, &stage).relay(&stage);
        stage.ready(200).await;
        let large = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
            select 'order', 'large' || n, 'T', to_json(repeat('x', 900 * n)) \
            from generate_series(1, 5) n";
        stage.sql(large).await;
        let numbered = Numbered { rows: 40, keys: 3 };
        numbered.insert(&stage).await;
        let letters = "select count(*) from outflow.dead_letter where pending is null";
        let are_dead = async || stage.number(letters).await == 3;
        eventually(LIMIT, "three dead letters", are_dead)
            .await
            .unwrap_or_else(|error| panic!("{error}: {}", relay.log_tail()));
        stage.reaches("events.order", 42).await;
        let mut entries = stage.entries("events.order").await;
        entries.retain(|entry| !entry.field("key").starts_with("large"));
        assert_eq!(check_numbered(&entries).values().sum::<i64>(), 40);
    }
}

/// The pooler is led to another database below a relay: nothing of it is taken, though the table
/// and the generation there are the same.
#[tokio::test]
async fn nothing_is_taken_from_where_the_control_session_is_not() {
    for section in [outbox(""), kept("")] {
        let stage = Stage::new(&section).await;
        let mut pool = transactions(&stage, 3).await;
        let relay = Through::new(&pool, &stage).relay(&stage);
        stage.ready(200).await;
        let one = Numbered { rows: 1, keys: 1 };
        one.insert(&stage).await;
        stage.reaches("events.order", 1).await;
        // A copy has the same oids of tables.
        let other = Stage::new(&section).await;
        other.sql("update outflow.outbox set generation = 1").await;
        pool.stop().await;
        pool.leads_to(other.postgres.port(), "postgres");
        one.insert(&other).await;
        one.insert(&stage).await;
        pool.start_again().await;
        let refused = async || relay.log().contains("another server or database");
        eventually(LIMIT, "a refusal", refused)
            .await
            .unwrap_or_else(|error| panic!("{error}: {}", relay.log_tail()));
        stage.not_ready("postgres.control_url").await;
        assert_eq!(other.number("select count(*) from outbox").await, 1);
        assert_eq!(stage.length("events.order").await, 1);
        pool.stop().await;
        pool.leads_to(stage.postgres.port(), "postgres");
        pool.start_again().await;
        stage.reaches("events.order", 2).await;
    }
}

/// The server behind the pooler crashes, and its standby becomes the primary. The pooler is led
/// there later than the control session comes there by its second host.
#[tokio::test]
async fn a_fail_over_behind_the_pooler_loses_and_doubles_nothing() {
    let mut stage = Stage::new(&outbox("batch_rows = 20")).await;
    let standby = stage.standby().await;
    let mut pool = transactions(&stage, 3).await;
    let ports = [stage.postgres.port(), standby.port()];
    let control =
        format!("postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres", ports[0], ports[1]);
    let through = Through { url: pool.url(), control };
    let members = ["first", "second"].map(|name| through.member(&stage, name));
    stage.shared_by(2).await;
    ROWS.insert(&stage).await;
    stage.reaches("events.order", 500).await;
    stage.postgres.stop_immediate().await.expect("its end");
    standby.promote().await.expect("a primary");
    let new = client(&standby.url()).await;
    let seats = "select count(*) from pg_stat_activity where application_name = 'outflow control'";
    let have_seats = async || number(&new, seats).await.is_ok_and(|seats| seats >= 1);
    eventually(LIMIT, "a member on the new primary", have_seats).await.expect("a seat");
    pool.stop().await;
    pool.leads_to(standby.port(), "postgres");
    pool.start_again().await;
    stage.reaches("events.order", ROWS.rows).await;
    ROWS.check(&stage, "events.order").await;
    for member in members {
        assert!(!member.log().contains("Redis lost data"), "{}", member.log_tail());
    }
}
