//! Managed Redis services take commands away or rename them, and give users few rights. What the
//! relay needs is named and ends it; everything else is done without, and told once.

use outflow_connect::redis::Args;
use outflow_local::{Redis, eventually, redis_client};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Asked, LIMIT, Stage, outbox};

/// What services are known to take away, and what else an append has no need of.
const TAKEN: [&str; 16] = [
    "ACL",
    "BGREWRITEAOF",
    "CLIENT",
    "CLUSTER",
    "COMMAND",
    "CONFIG",
    "DEBUG",
    "FLUSHALL",
    "FUNCTION",
    "INFO",
    "KEYS",
    "LATENCY",
    "MEMORY",
    "SCRIPT",
    "SLOWLOG",
    "WAIT",
];

const THREE: &str = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
    select 'order', 'k', 'T', '{}' from generate_series(1, 3)";

/// A server beside the stage's own, and the directory that it is in.
struct Service {
    redis: Redis,
    _dir: TempDir,
}

impl Service {
    async fn without(commands: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let args: Vec<&str> =
            commands.iter().flat_map(|command| ["--rename-command", *command, ""]).collect();
        let redis = Redis::start(dir.path(), &args).await.expect("Redis");
        Self { redis, _dir: dir }
    }

    async fn length(&self, stream: &str) -> i64 {
        let client = redis_client(&self.redis.url(), "test");
        client.ready(LIMIT).await.expect("a connection");
        let length = client.call("XLEN", Args::from([stream])).await.expect("a length");
        client.close().await;
        length.int().expect("a number")
    }
}

fn findings(asked: &Asked) -> Vec<Value> {
    asked.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// Findings of the server that quote its refusal, or say what it does not have.
fn told(asked: &Asked, command: &str) -> usize {
    let findings = findings(asked);
    let texts = findings.iter().filter_map(|finding| finding["what"].as_str());
    let words = format!("unknown command '{command}'");
    texts.filter(|what| what.contains(&words)).count()
}

/// Events are delivered, and everything that looks works.
async fn works(stage: &Stage, service: &Service, lacks: &str) {
    let before = service.length("events.order").await;
    stage.sql(THREE).await;
    stage.once().await;
    assert_eq!(service.length("events.order").await, before + 3, "without {lacks}");
    let check = stage.asked(&["check", "--json"]).await;
    assert_eq!(check.code, Some(0), "without {lacks}: {check:?}");
    let status = stage.asked(&["status"]).await.data();
    assert!(status.contains("events.order"), "without {lacks}: {status}");
    assert!(!status.contains("unknown command"), "without {lacks}: {status}");
    let list = stage.asked(&["stream", "list"]).await.data();
    assert!(list.contains("events.order"), "without {lacks}: {list}");
}

#[tokio::test]
async fn each_command_that_a_service_takes_away_is_done_without() {
    let stage = Stage::new(&outbox("")).await;
    for command in TAKEN {
        let service = Service::without(&[command]).await;
        stage.configure_with(&service.redis.url(), &outbox(""));
        // Not a loss of what another server has.
        stage.sql("delete from outflow.witness").await;
        works(&stage, &service, command).await;
        let check = stage.asked(&["check", "--json"]).await;
        assert!(told(&check, command) <= 1, "{command} is told once: {check:?}");
    }
}

/// Both modes, the daemon and all that looks.
#[tokio::test]
async fn a_server_without_any_of_them_is_enough() {
    for settings in ["", "settle = \"keep\""] {
        let stage = Stage::new(&outbox(settings)).await;
        let service = Service::without(&TAKEN).await;
        stage.configure_with(&service.redis.url(), &outbox(settings));
        works(&stage, &service, "any").await;
        is_told_what_is_not_seen(&stage).await;

        let mut relay = stage.relay();
        stage.sql(THREE).await;
        let six = async || service.length("events.order").await == 6;
        let arrived = eventually(LIMIT, "the events", six).await;
        assert!(arrived.is_ok(), "{}", relay.log_tail());
        stage.ready(200).await;
        let figure = "outflow_stream_entries{outbox=\"orders\",stream=\"events.order\"} 6";
        let measures = async || stage.metrics().await.contains(figure);
        let shown = eventually(LIMIT, "the streams' metrics", measures).await;
        assert!(shown.is_ok(), "{}", stage.metrics().await);
        let off = "redis.memory_pause has no effect";
        eventually(LIMIT, "a line", async || relay.log().contains(off)).await.expect("a line");
        relay.terminate();
        assert_eq!(relay.wait(LIMIT).await.expect("an end").code(), Some(0));
        assert_eq!(relay.log().matches(off).count(), 1, "{}", relay.log());
    }
}

/// In one finding; nothing that is not seen is called good or bad.
async fn is_told_what_is_not_seen(stage: &Stage) {
    let check = stage.asked(&["check", "--json"]).await;
    let unseen: Vec<Value> = findings(&check)
        .into_iter()
        .filter(|finding| finding.to_string().contains("does not tell"))
        .collect();
    assert_eq!(unseen.len(), 2, "what is not seen, and that memory_pause is off: {check:?}");
    let what = unseen[0]["what"].as_str().expect("a text");
    for topic in ["its version", "whether it keeps its data", "its eviction policy"] {
        assert!(what.contains(topic), "{topic}: {what}");
    }
    for untrue in ["evicts nothing", "is off, so a crash", "has no maxmemory", "Redis 6.2"] {
        assert!(!check.stdout.contains(untrue), "{untrue}: {check:?}");
    }
    assert!(check.stdout.contains("does not have MEMORY USAGE"), "{check:?}");
}

/// A user with what appends need, and nothing else: not even INFO.
#[tokio::test]
async fn a_user_with_the_rights_of_an_append_alone_is_enough() {
    let stage = Stage::new(&outbox("")).await;
    let least = "SETUSER relay on >hunter2 resetkeys -@all +eval +evalsha +hget +hgetall +hmget \
        +hkeys +hset +hdel +xadd ~outflow:journal:* ~events.*";
    stage.command("ACL", &least.split_whitespace().collect::<Vec<_>>()).await;
    let url = stage.redis.url().replace("redis://", "redis://relay:hunter2@");
    stage.configure_with(&url, &outbox(""));
    stage.sql(THREE).await;
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 3);
    let check = stage.asked(&["check", "--json"]).await;
    assert_eq!(check.code, Some(0), "{check:?}");
    let line = |finding: &Value| finding["remedy"]["text"].as_str().map(str::to_owned);
    let lines: Vec<String> = findings(&check).iter().filter_map(line).collect();
    let info = lines.iter().filter(|line| line.contains("+info")).count();
    assert_eq!(info, 1, "{lines:?}");
    let status = stage.asked(&["status"]).await.data();
    assert!(status.contains("SCAN"), "{status}");
    // Of INFO only one section.
    stage.command("ACL", &["SETUSER", "relay", "+info|persistence"]).await;
    let check = stage.asked(&["check", "--json"]).await;
    assert_eq!(check.code, Some(0), "{check:?}");
    assert!(check.stdout.contains("the append-only file is on"), "{check:?}");
    assert!(check.stdout.contains("does not tell its version"), "{check:?}");
}

/// What an append cannot do without, with the settings that need it.
const NEEDED: [(&str, &str); 4] = [("EVAL", "0"), ("EVALSHA", "0"), ("WAIT", "1"), ("CLIENT", "1")];

#[tokio::test]
async fn a_command_that_an_append_needs_is_named_and_ends_the_start() {
    let stage = Stage::new(&outbox("")).await;
    for (command, replicas) in NEEDED {
        let service = Service::without(&[command]).await;
        stage.configure_with(&service.redis.url(), &outbox(""));
        let envs = [("OUTFLOW_REDIS__WAIT_REPLICAS", replicas)];
        let words = format!("unknown command '{command}'");
        for args in [&["check"][..], &["run", "--once"], &["run"]] {
            let asked = stage.asked_with(args, &envs).await;
            assert_eq!(asked.code, Some(78), "{command}: {args:?}: {asked:?}");
            let output = [asked.stdout, asked.stderr].concat();
            assert!(output.contains(&words), "{command}: {args:?}: {output}");
        }
    }
}

/// A relay that is at work stays where it is.
#[tokio::test]
async fn a_reload_to_a_server_without_scripts_changes_nothing() {
    let stage = Stage::new(&outbox("")).await;
    let mut relay = stage.relay();
    stage.ready(200).await;
    let service = Service::without(&["EVALSHA"]).await;
    stage.configure_with(&service.redis.url(), &outbox(""));
    crate::reload::reload(&stage, &mut relay, "failure").await;
    assert!(relay.log().contains("unknown command 'EVALSHA'"), "{}", relay.log_tail());
    stage.sql(THREE).await;
    stage.reaches("events.order", 3).await;
}

/// What tells which Postgres this is, and what others are doing: no plain table of ours.
const OF_POSTGRES: &str = "
    revoke execute on function pg_control_system(), pg_walfile_name(pg_lsn),
      pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn() from public;
    revoke select on pg_stat_activity, pg_replication_slots, pg_prepared_xacts from public;
    create role hosted login;
    grant usage on schema outflow to hosted;
    grant select, insert, update, delete on all tables in schema public, outflow to hosted;
    grant select on all sequences in schema public to hosted;";

/// A Postgres that keeps its own matters to itself is enough for an outbox whose rows are deleted.
#[tokio::test]
async fn a_postgres_that_tells_nothing_of_itself_is_enough_to_delete() {
    let stage = Stage::new(&outbox("")).await;
    stage.sql(OF_POSTGRES).await;
    let file = stage.path().join("outflow.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(&file, text.replace("postgres://postgres@", "postgres://hosted@")).expect("it");
    stage.sql(THREE).await;
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 3);
    let check = stage.asked(&["check", "--json"]).await;
    assert_eq!(check.code, Some(0), "{check:?}");
    let horizon = "cannot find out who holds back the vacuum horizon";
    assert_eq!(check.stdout.matches(horizon).count(), 1, "{check:?}");
    let status = stage.asked(&["status"]).await.data();
    assert!(status.contains("backlog      empty"), "{status}");
}

/// A kept outbox must know it, and says so before anything is sent.
#[tokio::test]
async fn a_kept_outbox_names_the_function_that_it_may_not_call() {
    let stage = Stage::new(&outbox("settle = \"keep\"")).await;
    stage.sql(OF_POSTGRES).await;
    let file = stage.path().join("outflow.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(&file, text.replace("postgres://postgres@", "postgres://hosted@")).expect("it");
    let check = stage.asked(&["check", "--json"]).await;
    assert_eq!(check.code, Some(78), "{check:?}");
    let refused = findings(&check).into_iter().filter(|finding| finding["kind"] == "refused");
    let lines: Vec<String> =
        refused.map(|finding| finding["remedy"]["text"].as_str().expect("a line").into()).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    stage.sql(&lines.concat()).await;
    stage.sql(THREE).await;
    let check = stage.asked(&["check", "--json"]).await;
    assert_eq!(check.code, Some(0), "{check:?}");
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 3);
}
