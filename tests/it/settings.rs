//! What the database or the role presets does not reach the relay: its sessions set what they need.

use outflow::local::Signal;

use crate::support::{LIMIT, Numbered, Stage, outbox};

/// Each of them would break something, or change what is delivered.
const HOSTILE: &str = "do $$ declare preset text; begin \
    foreach preset in array array['default_transaction_read_only = on', 'default_transaction_deferrable = on', \
      'default_transaction_isolation = serializable', 'statement_timeout = 400', 'lock_timeout = 1', \
      'idle_in_transaction_session_timeout = 200', 'idle_session_timeout = 300', 'search_path = nowhere', \
      'row_security = off', 'standard_conforming_strings = off', 'datestyle = \"SQL, DMY\"', \
      'timezone = \"Asia/Kathmandu\"', 'intervalstyle = sql_standard', 'bytea_output = escape', \
      'extra_float_digits = -10', 'client_min_messages = debug1', 'enable_indexscan = off', \
      'enable_indexonlyscan = off', 'enable_tidscan = off', 'enable_nestloop = off', \
      'plan_cache_mode = force_custom_plan', 'synchronous_commit = off', 'quote_all_identifiers = on', \
      'array_nulls = off', 'xmlbinary = hex'] \
    loop execute 'alter role strict set ' || preset; end loop; end $$";
const COLUMNS: &str =
    "table = \"public.odd\"\n[outbox.columns]\nkey = \"key\"\ntype = \"kind\"\nevent_id = \"event_id\"\ntime = \"at\"";
const TABLE: &str = "create table odd (id bigint generated always as identity primary key, event_id bytea not null, \
    aggregate_type text not null, key timestamptz not null, kind numeric not null, payload xml not null, \
    headers jsonb not null default '{}', at timestamp not null); \
    alter table odd alter column payload type text using payload::text";
const ROWS: &str = "insert into odd (event_id, aggregate_type, key, kind, payload, at) \
    select decode(md5(n::text), 'hex'), 'odd', timestamptz '2026-03-04 05:06:07+00' + make_interval(hours => n % 7), 1 / (n + 3.7), '<p>\\n</p>', \
      timestamp '2026-03-04 05:06:07' + make_interval(hours => n) from generate_series(1, 50) n";

fn odd() -> String {
    format!(
        "[[outbox]]\nname = \"orders\"\nstream = \"events.{{aggregate_type}}\"\npoll_interval = \"50ms\"\n{COLUMNS}\n"
    )
}

/// What is delivered, by whatever role: the relay, its commands, and a recovery after a kill.
async fn delivered(role: &str) -> Vec<crate::support::Entry> {
    let stage = Stage::bare(&odd()).await;
    stage.sql(&format!("create role strict superuser login; {TABLE}")).await;
    if role == "strict" {
        stage.sql(HOSTILE).await;
    }
    let file = stage.path().join("outflow.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(&file, text.replace("postgres://postgres@", &format!("postgres://{role}@"))).expect("a file");
    stage.migrate().await;
    let mut relay = stage.relay();
    stage.ready(200).await;
    stage.sql(ROWS).await;
    stage.emptied("odd").await;
    // Longer idle than a session may be.
    let pace = outflow::local::eventually(LIMIT, "a report", async || {
        stage.number("select count(*) from outflow.member where report is not null").await > 0
    });
    pace.await.expect("a report");
    relay.kill();
    let generation = stage.number("select generation from outflow.outbox").await;
    let mut relay = stage.relay();
    stage.sql(ROWS).await;
    stage.emptied("odd").await;
    let started = stage.number("select generation from outflow.outbox").await;
    assert_eq!(started, generation + 1, "recoveries: {}", relay.log_tail());
    let status = stage.asked(&["status", "--json"]).await;
    assert_eq!(status.code, Some(0), "{status:?}");
    assert_eq!(stage.asked(&["dead", "list"]).await.code, Some(0));
    relay.terminate();
    assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
    stage.entries("events.odd").await
}

#[tokio::test]
async fn presets_of_the_role_change_nothing() {
    let (usual, strict) = tokio::join!(delivered("postgres"), delivered("strict"));
    assert_eq!(strict.len(), 100);
    assert_eq!(strict, usual);
}

/// It is not permitted to end the sessions of another role; they end by themselves, soon.
#[tokio::test]
async fn a_frozen_member_of_another_role_is_taken_over_from() {
    let stage = Stage::new(&outbox("batch_rows = 50")).await;
    stage.sql("create role one login; create role two login").await;
    for role in ["one", "two"] {
        stage
            .sql(&format!(
                "grant usage on schema public, outflow to {role}; grant all on all tables in schema public, outflow to {role}; \
                 grant all on all sequences in schema public, outflow to {role}"
            ))
            .await;
    }
    let url = |role: &str| stage.postgres.url().replace("postgres://postgres@", &format!("postgres://{role}@"));
    let member = |name: &str| {
        let listen = format!("127.0.0.1:{}", outflow::local::free_port().expect("a port"));
        stage.outflow_with(name, &["run"], &[("OUTFLOW_ADMIN__LISTEN", &listen), ("OUTFLOW_POSTGRES__URL", &url(name))])
    };
    let mut frozen = member("one");
    let rows = Numbered { rows: 20_000, keys: 37 };
    rows.insert(&stage).await;
    stage.reaches("events.order", 1_000).await;
    frozen.signal(Signal::SIGSTOP);
    let open =
        stage.number("select count(*) from pg_stat_activity where usename = 'one' and state like 'idle in%'").await;
    let other = member("two");
    let since = std::time::Instant::now();
    stage.drained().await;
    // Sixty seconds before: what each limit alone allows, and room for a slow machine.
    assert!(open == 0 || since.elapsed().as_secs() < 40, "{:?}: {}", since.elapsed(), other.log_tail());
    if open > 0 {
        assert!(other.log().contains("grant pg_signal_backend"), "{}", other.log_tail());
    }
    frozen.signal(Signal::SIGCONT);
    frozen.terminate();
    assert!(frozen.wait(LIMIT).await.expect("an end").success(), "{}", frozen.log_tail());
    rows.check(&stage, "events.order").await;
}
