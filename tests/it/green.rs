//! A green `check` means that events are delivered: whatever keeps rows from being taken or
//! appended is found, with what to do, and the printed lines mend it. `run --once` does not end
//! well while rows are left.

use outflow_local::eventually;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::{Asked, LIMIT, Stage, outbox};

const ROW: &str = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
    ('order', 'k', 'T', '{}')";
const SWALLOW: &str = "create function swallow() returns trigger language plpgsql as $$ begin \
    return null; end $$; \
    create trigger swallow before delete on outbox for each row execute function swallow()";

fn findings(asked: &Asked) -> Vec<Value> {
    asked.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn found(asked: &Asked, words: &str) -> Value {
    let all = findings(asked);
    let one = all
        .into_iter()
        .find(|finding| finding["what"].as_str().is_some_and(|what| what.contains(words)));
    one.unwrap_or_else(|| panic!("no finding has {words:?}: {asked:?}"))
}

/// Each change with the words of its finding and its level; what undoes it, or nothing if the
/// printed line does.
#[tokio::test]
async fn what_keeps_rows_is_found() {
    let stage = Stage::new(&outbox("")).await;
    stage.sql(ROW).await;
    let table = [
        ("alter table outbox set unlogged", "is UNLOGGED", "warning", ""),
        (SWALLOW, "a claim takes 0 rows and leaves 1", "error", "drop trigger swallow on outbox"),
        (
            "create function pass() returns trigger language plpgsql as $$ begin return old; end \
                $$; \
             create trigger pass before delete on outbox for each row execute function pass()",
            "the trigger pass runs before each delete",
            "warning",
            "drop trigger pass on outbox",
        ),
        (
            "create rule kept as on delete to outbox do instead nothing",
            "the rule kept runs instead",
            "error",
            "",
        ),
        (
            "create table refers (to_row bigint references outbox); insert into refers select id \
                from outbox",
            "a claim fails: Postgres: update or delete on table \"outbox\" violates foreign key",
            "error",
            "drop table refers",
        ),
        (
            "create table refers (to_row bigint references outbox deferrable initially deferred); \
             insert into refers select id from outbox",
            "a claim fails: Postgres: update or delete on table \"outbox\" violates foreign key",
            "error",
            "drop table refers",
        ),
        (
            "alter table outbox drop constraint outbox_pkey; create index on outbox (id); \
             create publication everything for table outbox",
            "has no replica identity",
            "error",
            "",
        ),
        (
            "alter table outbox disable trigger outflow_wake",
            "the wake-up trigger is disabled",
            "warning",
            "",
        ),
    ];
    for (change, words, level, undo) in table {
        stage.sql(change).await;
        if words.contains("disabled") {
            // It is somebody's decision: left alone, and not called up to date without a word.
            let migrated = stage.asked(&["migrate", "--triggers"]).await;
            let line = "alter table outbox enable always trigger outflow_wake;";
            assert!(migrated.code == Some(0) && migrated.stderr.contains(line), "{migrated:?}");
        }
        let asked = stage.asked(&["check", "--json"]).await;
        let finding = found(&asked, words);
        assert_eq!(finding["level"], level, "{finding}");
        assert_eq!(asked.code, Some(if level == "error" { 78 } else { 0 }), "{change}: {asked:?}");
        if undo.is_empty() {
            assert_eq!(finding["remedy"]["kind"], "sql", "{finding}");
            stage.sql(finding["remedy"]["text"].as_str().expect("a line")).await;
        } else {
            stage.sql(undo).await;
        }
        let after = stage.asked(&["check", "--json"]).await;
        assert!(
            after.code == Some(0) && !after.stdout.contains(words),
            "{change} is not undone: {after:?}"
        );
    }
    stage.once().await;
    assert_eq!(
        stage.length("events.order").await,
        1,
        "and then it delivers; the trials delivered nothing"
    );
}

/// Rows that no claim takes are no success.
#[tokio::test]
async fn once_does_not_end_well_while_rows_are_left() {
    let stage = Stage::new(&outbox("")).await;
    stage.sql(ROW).await;
    stage.command("SET", &["events.order", "no stream"]).await;
    let asked = stage.asked(&["check", "--json"]).await;
    let finding = found(
        &asked,
        "events wait for the stream events.order, but that key has the \
        type string",
    );
    assert_eq!((asked.code, &finding["level"]), (Some(78), &Value::from("error")), "{asked:?}");
    let parked = stage.asked(&["run", "--once"]).await;
    assert_eq!(parked.code, Some(1), "{parked:?}");
    assert!(
        parked.stderr.contains("stream events.order refuses its events: WRONGTYPE"),
        "{parked:?}"
    );
    stage.command("DEL", &["events.order"]).await;
    stage.sql(SWALLOW).await;
    let swallowed = stage.asked(&["run", "--once"]).await;
    assert_eq!(swallowed.code, Some(1), "{swallowed:?}");
    assert!(swallowed.stderr.contains("1 rows or more are left in public.outbox"), "{swallowed:?}");
    stage
        .sql(
            "drop trigger swallow on outbox; create rule keep as on delete to outbox do instead \
        nothing",
        )
        .await;
    let ruled = stage.asked(&["run", "--once"]).await;
    assert_eq!(ruled.code, Some(78), "{ruled:?}");
    assert!(ruled.stderr.contains("public.outbox has not changed meanwhile"), "{ruled:?}");
    stage.sql("drop rule keep on outbox").await;
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 1);
}

/// Hidden rows look like none: the relay does not start with them, nor goes on when they are hidden
/// later.
#[tokio::test]
async fn rows_behind_row_security_are_not_taken_for_none() {
    let stage = Stage::new(&outbox("")).await;
    stage
        .sql(
            "create role poor login; grant all on all tables in schema public, outflow to poor; \
             grant usage on schema outflow to poor; alter table outbox enable row level security",
        )
        .await;
    stage.sql(ROW).await;
    let url = stage.postgres.url().replace("postgres@", "poor@");
    let envs = [("OUTFLOW_POSTGRES__URL", url.as_str())];
    let asked = stage.asked_with(&["check", "--json"], &envs).await;
    let finding = found(&asked, "row security may hide rows");
    assert_eq!((asked.code, &finding["level"]), (Some(78), &Value::from("error")), "{asked:?}");
    let once = stage.asked_with(&["run", "--once"], &envs).await;
    assert!(once.code == Some(78) && once.stderr.contains("row security"), "{once:?}");
    stage.sql(finding["remedy"]["text"].as_str().expect("a line")).await;
    let after = stage.asked_with(&["check"], &envs).await;
    assert_eq!(after.code, Some(0), "{after:?}");
    stage.sql("create policy few on outbox as restrictive to poor using (id < 0)").await;
    let restricted = stage.asked_with(&["check", "--json"], &envs).await;
    let finding = found(&restricted, "row security may hide rows");
    stage.sql(finding["remedy"]["text"].as_str().expect("a line")).await;
    let once = stage.asked_with(&["run", "--once"], &envs).await;
    assert_eq!(once.code, Some(0), "{once:?}");
    assert_eq!(stage.length("events.order").await, 1);

    let _relay = stage.outflow_with("relay", &["run"], &envs);
    stage.ready(200).await;
    stage.sql("alter role poor nobypassrls").await;
    stage.not_ready("row security").await;
    stage.sql("drop policy few on outbox").await;
    stage.sql(ROW).await;
    stage.reaches("events.order", 2).await;
    stage.ready(200).await;
}

/// A Redis that refuses, or soon will.
#[tokio::test]
async fn what_keeps_appends_is_found() {
    let stage = Stage::new(&outbox("")).await;
    let table: [(&[&str], &str, &str, &[&str]); 4] = [
        (&["maxmemory", "1"], "an append fails: Redis refused: OOM", "error", &["maxmemory", "0"]),
        (
            &["min-replicas-to-write", "1"],
            "an append fails: Redis refused: NOREPLICAS",
            "error",
            &["min-replicas-to-write", "0"],
        ),
        (&["appendfsync", "no"], "appendfsync is no", "warning", &[]),
        (&["maxmemory", "{nearly}"], "of maxmemory", "warning", &["maxmemory", "0"]),
    ];
    for (change, words, level, undo) in table {
        let info = stage.command("INFO", &["memory"]).await.string().expect("a text");
        let used =
            info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a number");
        let nearly = (used.trim().parse::<u64>().expect("a number") * 106 / 100).to_string();
        let change: Vec<&str> = ["SET"]
            .iter()
            .chain(change)
            .map(|word| if *word == "{nearly}" { nearly.as_str() } else { word })
            .collect();
        stage.command("CONFIG", &change).await;
        let asked = stage.asked(&["check", "--json"]).await;
        let finding = found(&asked, words);
        assert_eq!(finding["level"], level, "{finding}");
        assert_eq!(
            asked.code,
            Some(if level == "error" { 78 } else { 0 }),
            "{change:?}: {asked:?}"
        );
        assert!(finding["remedy"]["text"].is_string(), "{finding}");
        if undo.is_empty() {
            stage.command("CONFIG", &["SET", "appendfsync", "everysec"]).await;
        } else {
            stage.command("CONFIG", &["SET", undo[0], undo[1]]).await;
        }
        assert_eq!(stage.asked(&["check"]).await.code, Some(0), "{change:?}");
    }
    let journals = stage.command("KEYS", &["*"]).await;
    assert!(journals.items().is_empty(), "the trials leave nothing: {journals:?}");
}

/// With too few connections `check` says so, and the relay does too, and works with those that it
/// has.
#[tokio::test]
async fn too_few_connections_are_told_and_fewer_batches_work() {
    let stage = Stage::new(&outbox("in_flight = 8")).await;
    stage
        .sql(
            "create role few login connection limit 7; grant all on all tables in schema public, \
                outflow to few; \
             grant usage on schema outflow to few; grant pg_read_all_stats to few",
        )
        .await;
    let url = stage.postgres.url().replace("postgres@", "few@");
    let envs = [("OUTFLOW_POSTGRES__URL", url.as_str())];
    let asked = stage.asked_with(&["check", "--json"], &envs).await;
    let finding = found(&asked, "a relay needs 12 connections");
    assert_eq!((asked.code, &finding["level"]), (Some(78), &Value::from("error")), "{asked:?}");
    let relay = stage.outflow_with("relay", &["run"], &envs);
    stage.sql(ROW).await;
    stage.reaches("events.order", 1).await;
    stage.drained().await;
    eventually(LIMIT, "the line", async || relay.log().contains("too few connections to Postgres"))
        .await
        .unwrap_or_else(|error| panic!("{error}: {}", relay.log()));
}

/// The port of the probes is free, or the relay's own, or somebody else's.
#[tokio::test]
async fn who_has_the_admin_endpoints_port_is_told() {
    let stage = Stage::new(&outbox("")).await;
    let listener = TcpListener::bind(("127.0.0.1", stage.admin_port)).await.expect("a listener");
    let asked = stage.asked(&["check", "--json"]).await;
    let finding = found(&asked, "admin.listen");
    assert_eq!((asked.code, &finding["level"]), (Some(78), &Value::from("error")), "{asked:?}");
    drop(listener);
    let _relay = stage.relay();
    stage.ready(200).await;
    let asked = stage.asked(&["check", "--json"]).await;
    assert_eq!(asked.code, Some(0), "{asked:?}");
    found(&asked, "a relay listens on");
}

#[tokio::test]
async fn names_that_are_nearly_right_and_things_that_are_no_tables() {
    let stage = Stage::new(&outbox("")).await;
    stage
        .sql(
            "create view seen as select * from outbox; create materialized view kept as select \
        * from outbox",
        )
        .await;
    let named = |table: &str, more: &str| {
        format!(
            "[[outbox]]\nname = \"orders\"\ntable = \"{table}\"\nstream = \
                \"events.{{aggregate_type}}\"\n{more}"
        )
    };
    let table = [
        (named("public.seen", ""), "public.seen is a view, not a table"),
        (named("public.kept", ""), "public.kept is a materialized view, not a table"),
        (named("public.outbox_id_seq", ""), "public.outbox_id_seq is a sequence, not a table"),
        (named("public.outbx", ""), "did you mean public.outbox?"),
        (named("publik.outbox", ""), "did you mean public.outbox?"),
        (
            named("public.outbox", "[outbox.columns]\nkey = \"agregate_id\""),
            "did you mean \"aggregate_id\"?",
        ),
        (
            named("public.outbox", "[outbox.columns]\npayload = \"Payload\""),
            "did you mean \"payload\"?",
        ),
    ];
    for (config, words) in &table {
        stage.configure(config);
        for args in [&["check", "--json"][..], &["run", "--once"]] {
            let asked = stage.asked(args).await;
            assert_eq!(asked.code, Some(78), "{args:?}: {asked:?}");
            let said =
                format!("{}{}", asked.stdout.replace('\\', ""), asked.stderr.replace('\\', ""));
            assert!(said.contains(words), "{args:?}: {words}: {said}");
        }
    }
}

/// What `status` gives as causes, once it has these words.
async fn caused(stage: &Stage, words: &str) {
    let told = eventually(LIMIT, words, async || {
        let status = stage.asked(&["status", "--json"]).await;
        status.stdout.replace('\\', "").contains(words)
    });
    if let Err(error) = told.await {
        panic!("{error}: {:?}", stage.asked(&["status", "--json"]).await);
    }
}

/// All servers are well and nothing is refused: the relay, `status` and `check` tell of rows that
/// no claim takes.
#[tokio::test]
async fn rows_that_no_claim_takes_are_told_while_all_is_well() {
    let stage = Stage::new(&outbox("")).await;
    stage
        .sql(
            "alter table outbox add column seq bigint; create sequence seqs; create index on \
        outbox (seq)",
        )
        .await;
    stage.configure(&outbox("[outbox.columns]\norder = \"seq\""));
    let row = |seq: &str| {
        ROW.replace("(aggregate_type", "(seq, aggregate_type")
            .replace("values (", &format!("values ({seq}, "))
    };
    stage.sql(&row("null")).await;
    let relay = stage.relay();
    let told = async |words: &str, times: usize| {
        let told =
            eventually(LIMIT, words, async || relay.log().matches(words).count() == times).await;
        told.unwrap_or_else(|error| panic!("{error}: {}", relay.log_tail()));
    };
    told("events have no value in the order column", 1).await;
    caused(&stage, "1 events (row 1 …) have no value in the order column \"seq\"").await;
    let asked = stage.asked(&["check", "--json"]).await;
    let finding =
        found(&asked, "leaves 1 rows that nobody has locked; rows without an order value: 1");
    assert_eq!((asked.code, &finding["level"]), (Some(78), &Value::from("error")), "{asked:?}");
    let once = stage.asked(&["run", "--once"]).await;
    assert!(
        once.code == Some(1) && once.stderr.contains("1 of them have no value in the order column"),
        "{once:?}"
    );
    stage.sql("update outbox set seq = nextval('seqs')").await;
    stage.reaches("events.order", 1).await;
    stage.drained().await;

    // The lowest of its type is below the beginning of the line.
    let changes = [
        (row(&i64::MIN.to_string()), "update outbox set seq = nextval('seqs')"),
        (format!("{SWALLOW}; {}", row("nextval('seqs')")), "drop trigger swallow on outbox"),
    ];
    for (at, (change, undo)) in changes.into_iter().enumerate() {
        let before = stage.length("events.order").await;
        stage.sql(&change).await;
        told("an event is waiting but no claim takes it", at + 1).await;
        caused(&stage, "and no relay takes it: a trigger or a rule may keep it").await;
        let asked = stage.asked(&["check", "--json"]).await;
        found(&asked, "leaves 1 rows that nobody has locked");
        assert_eq!(asked.code, Some(78), "{asked:?}");
        assert_eq!(stage.asked(&["run", "--once"]).await.code, Some(1), "{change}");
        stage.sql(undo).await;
        stage.reaches("events.order", before + 1).await;
        stage.drained().await;
    }
}

/// A row that a relay would move to the dead letters: the trial says so, and moves nothing.
#[tokio::test]
async fn a_trial_moves_nothing() {
    let stage = Stage::new(&outbox("")).await;
    stage.sql("alter table outbox alter column event_type drop not null").await;
    stage.sql(&ROW.replace("'T'", "null")).await;
    stage.sql(ROW).await;
    let asked = stage.asked(&["check", "--json"]).await;
    let finding = found(&asked, "is null; a relay moves it to the dead letters");
    assert_eq!((asked.code, &finding["level"]), (Some(0), &Value::from("warning")), "{asked:?}");
    let rows =
        "select (select count(*) from outbox) * 10 + (select count(*) from outflow.dead_letter)";
    assert_eq!(stage.number(rows).await, 20);
}
