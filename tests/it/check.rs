//! `outflow check`: every finding with its remedy, and the printed lines, run as they are, mend
//! what they name.

use outflow_local::{Redis, eventually};
use serde_json::Value;

use crate::support::{Asked, LIMIT, Pooler, Stage, outbox};

const SECRET: &str = "hunter2";

async fn check(stage: &Stage) -> Asked {
    let asked = stage.asked(&["check", "--json"]).await;
    assert!(
        !asked.stdout.contains(SECRET) && !asked.stderr.contains(SECRET),
        "a secret: {asked:?}"
    );
    asked
}

fn findings(asked: &Asked) -> Vec<Value> {
    asked.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// Runs what the findings of these levels say, as it is printed. Returns the lines.
async fn mend(stage: &Stage, findings: &[Value], level: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in findings.iter().filter(|finding| finding["level"] == level) {
        let text = finding["remedy"]["text"].as_str().expect("a remedy").to_owned();
        let words: Vec<&str> = text.split(' ').collect();
        match (finding["remedy"]["kind"].as_str(), words[0]) {
            (Some("sql"), _) => stage.sql(&text).await,
            (Some("redis"), "ACL") => stage.run_in_redis("ACL", &words[1..]).await,
            (Some("redis"), "CONFIG") => stage.run_in_redis("CONFIG", &words[1..]).await,
            _ => panic!("nothing to run: {finding}"),
        }
        lines.push(text);
    }
    lines
}

fn reconfigure(stage: &Stage, changes: &[(&str, &str)]) {
    let file = stage.path().join("outflow.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    let text = changes.iter().fold(text, |text, (from, to)| text.replace(from, to));
    std::fs::write(file, text).expect("a file");
}

/// A role and a user who may do nothing but connect: the lines that are printed make the next check
/// pass, and the relay can do all of its work.
#[tokio::test]
async fn the_printed_lines_are_enough() {
    let stage = Stage::new(&outbox("event_bytes_max = \"500B\"")).await;
    stage.sql("create role poor login password 'hunter2'").await;
    stage
        .sql("revoke all on schema public from public; grant usage on schema public to poor")
        .await;
    stage
        .command("ACL", &["SETUSER", "relay", "on", ">hunter2", "+ping", "+client", "+info"])
        .await;
    let urls = [
        ("postgres://postgres@", "postgres://poor:hunter2@"),
        ("redis://", "redis://relay:hunter2@"),
    ];
    reconfigure(&stage, &urls);
    let before = check(&stage).await;
    assert_eq!(before.code, Some(78), "{before:?}");
    let lines = mend(&stage, &findings(&before), "error").await;
    assert_eq!(lines.iter().filter(|line| line.starts_with("grant ")).count(), 7, "{lines:?}");
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("ACL SETUSER relay ")).count(),
        2,
        "{lines:?}"
    );
    // The journal has a name that can be read only now.
    let between = check(&stage).await;
    mend(&stage, &findings(&between), "error").await;
    let after = check(&stage).await;
    assert_eq!(after.code, Some(0), "{after:?}");
    // What is not needed today: to see tomorrow that a schema is too new.
    assert!(after.stdout.contains("which version the schema outflow has"), "{after:?}");
    stage.sql("grant select on outflow.migration to poor").await;
    let told = check(&stage).await;
    assert!(!told.stdout.contains("which version the schema outflow has"), "{told:?}");
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
             values ('order', 'k', 'T', '{}'), ('', 'k', 'T', '{}'), ('bill', 'k', 'T', \
             to_jsonb(repeat('x', 600)))",
        )
        .await;
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 1);
    assert_eq!(stage.number("select count(*) from outflow.dead_letter").await, 2);
}

/// One permission at a time is taken from a user who has all that is needed; the line gives it
/// back.
#[tokio::test]
async fn each_missing_permission_in_redis_is_found() {
    let stage = Stage::new(&outbox("")).await;
    let rights = [
        "+ping", "+client", "+info", "~*", "+evalsha", "+eval", "+hset", "+hmget", "+hget",
        "+hdel", "+hgetall", "+hkeys", "+xadd",
    ];
    let reset: Vec<&str> =
        ["SETUSER", "relay", "reset", "on", ">hunter2"].into_iter().chain(rights).collect();
    reconfigure(&stage, &[("redis://", "redis://relay:hunter2@")]);
    let taken = [
        "-evalsha",
        "-eval",
        "-hset",
        "-hmget",
        "-hget",
        "-hdel",
        "-hgetall",
        "-hkeys",
        "-xadd",
        "resetkeys",
    ];
    for rule in taken {
        stage.command("ACL", &reset).await;
        assert_eq!(check(&stage).await.code, Some(0), "without {rule}");
        stage.command("ACL", &["SETUSER", "relay", rule]).await;
        let asked = check(&stage).await;
        assert_eq!(asked.code, Some(78), "{rule}: {asked:?}");
        let lines = mend(&stage, &findings(&asked), "error").await;
        // Without EVAL nothing can be asked, and without any key no command is allowed: everything
        // is told.
        assert_eq!(
            lines.len(),
            if ["-eval", "resetkeys"].contains(&rule) { 2 } else { 1 },
            "{rule}: {lines:?}"
        );
        let again = check(&stage).await;
        assert_eq!(again.code, Some(0), "{rule}: {lines:?}, then {again:?}");
    }
}

/// What the journal keeps for want of a permission does no harm, and is told once, not at each
/// sleep.
#[tokio::test]
async fn a_journal_that_may_not_be_cleared_is_told_once() {
    let stage = Stage::new(&outbox("")).await;
    stage.command("ACL", &["SETUSER", "relay", "on", ">hunter2", "~*", "+@all", "-hkeys"]).await;
    reconfigure(&stage, &[("redis://", "redis://relay:hunter2@")]);
    let relay = stage.relay();
    for round in 1..=3 {
        stage
            .sql(
                "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
                ('order', 'k', 'T', '{}')",
            )
            .await;
        stage.reaches("events.order", round).await;
        stage.drained().await;
    }
    let told = "Redis refuses to clear the journal";
    eventually(LIMIT, "the line", async || relay.log().contains(told)).await.expect("a line");
    assert_eq!(relay.log().matches(told).count(), 1, "{}", relay.log());
    let asked = check(&stage).await;
    assert!(asked.stdout.contains("ACL SETUSER relay +hkeys"), "{asked:?}");
}

/// Only some streams is a way to use ACLs: said, but no error as long as those that are used are
/// among them.
#[tokio::test]
async fn a_user_may_be_meant_for_some_streams() {
    let stage = Stage::new(&outbox("")).await;
    stage
        .command(
            "ACL",
            &["SETUSER", "relay", "on", ">hunter2", "+@all", "~outflow:*", "~events.order"],
        )
        .await;
    reconfigure(&stage, &[("redis://", "redis://relay:hunter2@")]);
    let insert = |kind: &str| {
        format!(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
                ('{kind}', 'k', 'T', '{{}}')"
        )
    };
    stage.sql(&insert("order")).await;
    let some = check(&stage).await;
    assert_eq!(some.code, Some(0), "{some:?}");
    assert!(
        some.stdout.contains("may write only to some streams of events.{aggregate_type}"),
        "{some:?}"
    );
    stage.sql(&insert("bill")).await;
    let other = check(&stage).await;
    assert_eq!(other.code, Some(78), "{other:?}");
    assert!(other.stdout.contains("~events.*"), "{other:?}");
}

/// Each change to a healthy set-up with the words of its finding, its level, and whether its line
/// mends it.
#[tokio::test]
async fn what_is_wrong_is_named() {
    let stage = Stage::new(&outbox("")).await;
    let healthy = check(&stage).await;
    assert_eq!(healthy.code, Some(0), "{healthy:?}");
    assert!(
        findings(&healthy).iter().any(|finding| finding["what"] == "sessions are direct"),
        "{healthy:?}"
    );
    let sql: [(&str, &str, &str, &str); 7] = [
        ("alter sequence outbox_id_seq cache 20", "warning", "outbox_id_seq caches 20 numbers", ""),
        (
            "alter table outbox drop constraint outbox_pkey",
            "error",
            "the order column has no index",
            "",
        ),
        (
            "drop trigger outflow_wake on outbox",
            "warning",
            "no wake-up trigger",
            "create trigger outflow_wake before insert on outbox for each statement execute \
                function outflow.wake()",
        ),
        (
            "alter table outbox rename column headers to extra",
            "error",
            "columns.headers names",
            "alter table outbox rename column extra to headers",
        ),
        (
            "alter table outflow.dead_letter rename column route to old",
            "error",
            "older version",
            "alter table outflow.dead_letter rename column old to route",
        ),
        (
            "alter table outflow.outbox disable trigger all; create table saved as select * from \
                outflow.outbox; delete from outflow.outbox",
            "error",
            "public.outbox is not registered",
            "insert into outflow.outbox select * from saved",
        ),
        (
            "alter table outbox rename to elsewhere",
            "error",
            "there is no table public.outbox",
            "alter table elsewhere rename to outbox",
        ),
    ];
    for (change, level, words, undo) in &sql {
        stage.sql(change).await;
        let asked = check(&stage).await;
        let found = found(&asked, words, level);
        assert_eq!(asked.code, Some(if *level == "error" { 78 } else { 0 }), "{change}: {asked:?}");
        assert!(found["remedy"]["text"].is_string(), "{found}");
        if undo.is_empty() {
            stage.sql(found["remedy"]["text"].as_str().expect("a line")).await;
        } else {
            stage.sql(undo).await;
        }
        assert!(!check(&stage).await.stdout.contains(words), "{change} is not undone");
    }
    let redis: [(&[&str], &str, &str, i32); 3] = [
        (&["maxmemory-policy", "allkeys-lru"], "warning", "as soon as maxmemory is set", 0),
        (&["maxmemory", "1gb", "maxmemory-policy", "allkeys-lru"], "error", "evicts streams", 78),
        (&["appendonly", "no"], "warning", "append-only file is off", 0),
    ];
    for (change, level, words, code) in redis {
        let args: Vec<&str> = ["SET"].iter().chain(change).copied().collect();
        stage.command("CONFIG", &args).await;
        let asked = check(&stage).await;
        let found = found(&asked, words, level);
        assert_eq!(asked.code, Some(code), "{change:?}: {asked:?}");
        mend(&stage, &[found], level).await;
        assert!(!check(&stage).await.stdout.contains(words), "{change:?} is not mended");
    }
    assert_eq!((sql.len(), redis.len()), (7, 3));
}

fn found(asked: &Asked, words: &str, level: &str) -> Value {
    let findings = findings(asked);
    let found = findings
        .into_iter()
        .find(|finding| finding["what"].as_str().is_some_and(|what| what.contains(words)));
    let found = found.unwrap_or_else(|| panic!("no finding has {words:?}: {asked:?}"));
    assert_eq!(found["level"], level, "{found}");
    found
}

#[tokio::test]
async fn who_holds_back_the_vacuum_horizon_is_named_and_can_be_ended() {
    let stage = Stage::new(&outbox("")).await;
    let old = stage.client().await;
    old.batch_execute(
        "set application_name = 'the report'; begin isolation level repeatable read; select 1 \
            from outbox",
    )
    .await
    .expect("a transaction");
    stage
        .sql(
            "do $$ begin for i in 1..100500 loop perform pg_current_xact_id(); commit; end \
        loop; end $$",
        )
        .await;
    let asked = check(&stage).await;
    let found = found(&asked, "the report", "warning");
    mend(&stage, &[found], "warning").await;
    assert!(!check(&stage).await.stdout.contains("the report"));
}

#[tokio::test]
async fn a_transaction_pooler_is_noticed() {
    let stage = Stage::new(&outbox("")).await;
    let pooler = Pooler::start(stage.postgres.port()).await;
    let direct = format!("127.0.0.1:{}", stage.postgres.port());
    reconfigure(&stage, &[(&direct, &format!("127.0.0.1:{}", pooler.port()))]);
    let asked = check(&stage).await;
    assert_eq!(asked.code, Some(78), "{asked:?}");
    found(&asked, "transaction pooler is in between", "error");
}

/// Servers that do not answer are 69, a configuration that cannot be read is 78, and `--offline`
/// asks nobody.
#[tokio::test]
async fn exit_codes_say_what_kind_of_trouble() {
    let mut stage = Stage::new(&outbox("")).await;
    stage.redis.kill().await.expect("its end");
    let half = check(&stage).await;
    assert_eq!(half.code, Some(69), "{half:?}");
    found(&half, "cannot be reached", "unreachable");
    stage.sql("alter table outbox rename to elsewhere").await;
    assert_eq!(check(&stage).await.code, Some(78), "what must be mended comes first");
    stage.postgres.stop_fast().await.expect("its end");
    let none = check(&stage).await;
    assert_eq!(none.code, Some(69), "{none:?}");
    for field in [r#""level":"unreachable""#, r#""kind":"unreachable""#] {
        assert_eq!(none.stdout.matches(field).count(), 2, "{field}: {none:?}");
    }
    let offline = stage.asked(&["check", "--offline"]).await;
    assert_eq!(offline.data(), "✓ ok: configuration: valid; outboxes: orders (public.outbox)\n");
    reconfigure(&stage, &[("[redis]", "[redsi]")]);
    for args in [&["check"][..], &["check", "--offline"], &["check", "--json"]] {
        let asked = stage.asked(args).await;
        assert_eq!(asked.code, Some(78), "{asked:?}");
        assert!(
            asked.stdout.contains("did you mean") && asked.stdout.contains("redis"),
            "{asked:?}"
        );
    }
}

/// An append is a script. Valkey can be without its Lua engine, and a service may call EVAL
/// something else.
#[tokio::test]
async fn a_server_that_runs_no_scripts_is_named() {
    let stage = Stage::new(&outbox("")).await;
    let dir = tempfile::tempdir().expect("a directory");
    let redis = Redis::start(dir.path(), &["--rename-command", "EVAL", ""]).await.expect("Redis");
    stage.configure_with(&redis.url(), &outbox(""));
    let asked = check(&stage).await;
    assert_eq!(asked.code, Some(78), "{asked:?}");
    let finding = found(&asked, "runs no scripts", "error");
    assert!(finding["remedy"]["text"].as_str().is_some_and(|text| text.contains("EVALSHA")));
    assert!(!asked.stdout.contains("cannot find out"), "said once: {asked:?}");
}
