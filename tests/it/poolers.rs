//! Poolers between us and Postgres. Behind a transaction pooler a session belongs to whoever begins
//! next: no command leaves anything in it, and what needs sessions of its own refuses to start, or
//! takes a way around the pooler. A pool in session mode is as good as none.

mod addresses;
mod relay;
mod reload;

use outflow_local::{Program, eventually, free_port, session};
use tokio_postgres::Client;

use crate::support::{LIMIT, PgBouncer, Stage, outbox, program};

const INSERT: &str = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
    values ('order', 'k', 'T', '{}')";
/// Everything that a session may have been left with, as one text.
const LEFT: &str = "select string_agg(what, '; ' order by what) from ( \
    select name || ' = ' || setting as what from pg_settings where source = 'session' and name <> \
    'application_name' \
    union all select 'custom ' || coalesce(current_setting('outflow.check', true), '') \
    union all select 'prepared ' || name from pg_prepared_statements \
    union all select 'lock ' || locktype from pg_locks where locktype = 'advisory' and pid = \
    pg_backend_pid() \
    union all select 'listen ' || channel from pg_listening_channels() as channel \
    union all select 'temporary ' || relname::text from pg_class where pg_table_is_visible(oid) \
    and relpersistence = 't') as left_behind";

/// Sessions of relays, but for those that go around a pooler.
const POOLED: &str = "select count(*) from pg_stat_activity where application_name like 'outflow%' \
    and application_name not in ('outflow control', 'outflow gauge', 'outflow retention')";

async fn client(url: &str) -> Client {
    session(url).await.expect("a connection")
}

/// Without anything prepared, as applications behind a pooler must.
async fn left(application: &Client) -> String {
    let answer = application.simple_query(LEFT).await.expect("an answer");
    answer
        .iter()
        .find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .expect("a row")
}

/// With as many server connections as there are, whichever the application gets must be as it was.
#[tokio::test]
async fn no_command_leaves_anything_in_an_applications_session() {
    let stage = Stage::new(&outbox("event_bytes_max = \"500B\"")).await;
    let dead = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
        select 'order', 'k' || n, 'T', to_jsonb(repeat('x', 600)) from generate_series(1, 3) n";
    stage.sql(dead).await;
    stage.once().await;
    for size in [1, 3] {
        let pool = PgBouncer::start(stage.postgres.port(), "transaction", size, stage.path()).await;
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", pool.port());
        let application = client(&url).await;
        let before = left(&application).await;
        let commands: [(&[&str], i32); 14] = [
            (&["status"], 0),
            (&["status", "--json"], 0),
            (&["check"], 78),
            (&["check", "--json"], 78),
            (&["dead", "list"], 0),
            (&["dead", "show", "1"], i32::from(size != 1)),
            (&["dead", "retry", "1", "--yes"], i32::from(size != 1)),
            (&["dead", "discard", "2", "--yes"], i32::from(size != 1)),
            (&["pause", "--why", "maintenance"], 0),
            (&["pause", "--why", "again", "--stream", "events.order", "--for", "1h"], 0),
            (&["resume"], 0),
            (&["migrate", "--triggers"], 0),
            (&["run", "--once"], 78),
            (&["run"], 78),
        ];
        for (args, code) in commands {
            let asked = stage.asked_with(args, &[("OUTFLOW_POSTGRES__URL", &url)]).await;
            assert_eq!(asked.code, Some(code), "{args:?} with {size}: {asked:?}");
            if code == 78 {
                let said = format!("{}{}", asked.stdout, asked.stderr);
                assert!(
                    said.contains("transaction pooler is in between"),
                    "{args:?} with {size}: {said}"
                );
            }
            for _ in 0..size {
                application
                    .batch_execute(INSERT)
                    .await
                    .unwrap_or_else(|error| panic!("after {args:?}: {error:?}"));
                assert_eq!(left(&application).await, before, "after {args:?} with {size}");
            }
        }
    }
}

/// As `PgBouncer` would hand its connections out: one is too few to tell anything else apart.
#[tokio::test]
async fn a_companion_sets_nothing_behind_a_transaction_pooler() {
    let stage = Stage::new(&outbox("")).await;
    let pool = PgBouncer::start(stage.postgres.port(), "transaction", 2, stage.path()).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", pool.port());
    let application = client(&url).await;
    let before = left(&application).await;
    let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
    let path = program("order-api").as_ref();
    let args = ["--listen", &listen, "--log-format", "text"];
    let api =
        Program::start("order-api", path, &args, &[("ORDER_API_POSTGRES_URL", &url)], stage.path());
    let api = api.expect("order-api");
    eventually(LIMIT, "the reason", async || {
        api.log().contains("transaction pooler is in between")
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {}", api.log()));
    for _ in 0..4 {
        application.batch_execute(INSERT).await.expect("an event");
        assert_eq!(left(&application).await, before);
    }
}

#[tokio::test]
async fn a_pool_in_session_mode_is_as_good_as_none() {
    let stage = Stage::new(&outbox("")).await;
    let pool = PgBouncer::start(stage.postgres.port(), "session", 20, stage.path()).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", pool.port());
    let envs = [("OUTFLOW_POSTGRES__URL", url.as_str())];
    let asked = stage.asked_with(&["check"], &envs).await;
    assert_eq!(asked.code, Some(0), "{asked:?}");
    stage.sql(INSERT).await;
    let once = stage.asked_with(&["run", "--once"], &envs).await;
    assert_eq!(once.code, Some(0), "{once:?}");
    assert_eq!(stage.length("events.order").await, 1);
}
