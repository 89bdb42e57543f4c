//! What the database or the role presets does not reach the relay: its sessions set what they need.

use outflow_local::{Signal, eventually};

use crate::support::{LIMIT, Numbered, Stage, outbox};

/// Each of them would break something, or change what is delivered.
const HOSTILE: &str = "do $$ declare preset text; begin \
    foreach preset in array array['default_transaction_read_only = on', \
    'default_transaction_deferrable = on', \
      'default_transaction_isolation = serializable', 'statement_timeout = 400', 'lock_timeout = \
      1', \
      'idle_in_transaction_session_timeout = 200', 'idle_session_timeout = 300', 'search_path = \
      nowhere', \
      'row_security = off', 'standard_conforming_strings = off', 'datestyle = \"SQL, DMY\"', \
      'timezone = \"Asia/Kathmandu\"', 'intervalstyle = sql_standard', 'bytea_output = escape', \
      'extra_float_digits = -10', 'client_min_messages = debug1', 'enable_indexscan = off', \
      'enable_indexonlyscan = off', 'enable_tidscan = off', 'enable_nestloop = off', \
      'plan_cache_mode = force_custom_plan', 'synchronous_commit = off', 'quote_all_identifiers = \
      on', \
      'array_nulls = off', 'xmlbinary = hex'] \
    loop execute 'alter role strict set ' || preset; end loop; end $$";
const COLUMNS: &str = "table = \"public.odd\"\n[outbox.columns]\nkey = \"key\"\ntype = \
    \"kind\"\nevent_id = \"event_id\"\ntime = \"at\"";
const TABLE: &str = "create table odd (id bigint generated always as identity primary key, \
    event_id bytea not null, \
    aggregate_type text not null, key timestamptz not null, kind numeric not null, payload xml \
    not null, \
    headers jsonb not null default '{}', at timestamp not null); \
    alter table odd alter column payload type text using payload::text";
const ROWS: &str = "insert into odd (event_id, aggregate_type, key, kind, payload, at) \
    select decode(md5(n::text), 'hex'), 'odd', timestamptz '2026-03-04 05:06:07+00' + \
    make_interval(hours => n % 7), 1 / (n + 3.7), '<p>\\n</p>', \
      timestamp '2026-03-04 05:06:07' + make_interval(hours => n) from generate_series(1, 50) n";

fn odd() -> String {
    format!(
        "[[outbox]]\nname = \"orders\"\nstream = \"events.{{aggregate_type}}\"\npoll_interval = \
            \"50ms\"\n{COLUMNS}\n"
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
    std::fs::write(&file, text.replace("postgres://postgres@", &format!("postgres://{role}@")))
        .expect("a file");
    stage.migrate().await;
    let mut relay = stage.relay();
    stage.ready(200).await;
    stage.sql(ROWS).await;
    stage.emptied("odd").await;
    // Longer idle than a session may be.
    let pace = eventually(LIMIT, "a report", async || {
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

/// It is not permitted to end the sessions of another role. They end by themselves, by limits that
/// each of them has set and that the server keeps: how soon is what these say, not what a clock
/// says here.
#[tokio::test]
async fn a_frozen_member_of_another_role_is_taken_over_from() {
    const HOLDERS: &str = "select l.pid from pg_locks l join pg_stat_activity a using (pid) where \
        a.usename = 'one' \
        and a.state = 'idle in transaction' and l.locktype = 'advisory' and l.mode = 'ShareLock' \
        and l.granted";
    let mut stage = Stage::new(&outbox("batch_rows = 50")).await;
    stage.sql("create role one login; create role two login").await;
    for role in ["one", "two"] {
        stage
            .sql(&format!(
                "grant usage on schema public, outflow to {role}; grant all on all tables in \
                    schema public, outflow to {role}; \
                 grant all on all sequences in schema public, outflow to {role}; alter role \
                 {role} set log_statement = 'all'"
            ))
            .await;
    }
    // The server's log tells whose line is whose.
    stage.sql("alter system set log_line_prefix = '%p=%u='").await;
    stage.sql("select pg_reload_conf()").await;
    let is_set = "select (current_setting('log_line_prefix') = '%p=%u=')::integer";
    eventually(LIMIT, "the prefix", async || stage.number(is_set).await == 1)
        .await
        .expect("a setting");
    let url = |stage: &Stage, role: &str| {
        stage.postgres.url().replace("postgres://postgres@", &format!("postgres://{role}@"))
    };
    let member = |stage: &Stage, name: &str| {
        let listen = format!("127.0.0.1:{}", outflow_local::free_port().expect("a port"));
        let envs = [
            ("OUTFLOW_ADMIN__LISTEN", listen.as_str()),
            ("OUTFLOW_POSTGRES__URL", &url(stage, name)),
        ];
        stage.outflow_with(name, &["run"], &envs)
    };
    let mut frozen = member(&stage, "one");
    stage.shared_by(1).await;
    // It waits for Redis with claims open, and never wakes up to hear the answer.
    stage.redis.signal(Signal::SIGSTOP);
    let rows = Numbered { rows: 2_000, keys: 37 };
    rows.insert(&stage).await;
    let client = stage.client().await;
    let holders = async || -> Vec<i32> {
        client.query(HOLDERS, &[]).await.expect("locks").iter().map(|row| row.get(0)).collect()
    };
    eventually(LIMIT, "an open claim", async || !holders().await.is_empty())
        .await
        .expect("a claim");
    frozen.signal(Signal::SIGSTOP);
    let holders = holders().await;
    assert!(!holders.is_empty(), "the claims ended before it was frozen: {}", frozen.log_tail());
    stage.redis.signal(Signal::SIGCONT);
    let other = member(&stage, "two");
    stage.drained().await;

    let log = stage.postgres.log();
    for pid in &holders {
        ends_by_its_own(
            &log,
            &format!("{pid}=one="),
            "idle-in-transaction",
            "set idle_in_transaction_session_timeout = '",
        );
    }
    let seat = log
        .lines()
        .find(|line| line.contains("=one=FATAL") && line.contains("idle-session timeout"))
        .expect(&log);
    let control = &seat[..seat.find("FATAL").expect("a word")];
    ends_by_its_own(&log, control, "idle-session", "set idle_session_timeout = '");
    assert!(!log.contains("administrator command"), "ended by somebody else");
    // Who has tried twice in vain has said what would help.
    let before = log.split("due to idle-in-transaction timeout").next().unwrap_or_default();
    let tries = before
        .lines()
        .filter(|line| line.contains("=two=ERROR") && line.contains("lock timeout"))
        .count();
    assert!(
        tries < 2 || other.log().contains("grant that role or pg_signal_backend"),
        "{}",
        other.log_tail()
    );

    frozen.signal(Signal::SIGCONT);
    frozen.terminate();
    assert!(frozen.wait(LIMIT).await.expect("an end").success(), "{}", frozen.log_tail());
    rows.check(&stage, "events.order").await;
}

/// The server ended this session for the limit that it had set itself, which is short.
fn ends_by_its_own(log: &str, session: &str, end: &str, setting: &str) {
    const LIMIT_S: u32 = 12;
    let end = format!("{session}FATAL:  terminating connection due to {end} timeout");
    let (before, _) = log.split_once(&end).unwrap_or_else(|| panic!("{end}: {log}"));
    // A statement has several lines, of which only the first has the prefix.
    let mut is_mine = false;
    let lines = before.lines().filter(|line| {
        if !line.starts_with('\t') {
            is_mine = line.starts_with(session);
        }
        is_mine
    });
    let set = lines
        .flat_map(|line| line.split(setting).skip(1))
        .last()
        .unwrap_or_else(|| panic!("{session} {setting}"));
    let seconds: u32 = set.split('s').next().and_then(|number| number.parse().ok()).expect(set);
    assert!(seconds <= LIMIT_S, "{setting}{seconds}s");
}
