//! Back-pressure: before Redis is full, and while a group is too far behind, rows wait in Postgres.
//! That is no error, and it ends by itself.

use outflow_connect::redis::{Args, Redis, Reply};
use outflow_local::{RedisCluster, eventually};
use secrecy::SecretString;
use serde_json::Value;

use crate::support::{LIMIT, Numbered, Stage, check_numbered, outbox};

const STREAM: &str = "events.order";

async fn status(stage: &Stage) -> Value {
    let url = format!("http://127.0.0.1:{}/status", stage.admin_port);
    let body = reqwest::get(url).await.expect("an answer").text().await.expect("a text");
    serde_json::from_str::<Value>(&body).expect("JSON")["outboxes"][0].clone()
}

/// Waits until the relay waits for this reason, or no longer does.
async fn held(stage: &Stage, reason: &str, is_held: bool) {
    let what = format!("{reason}: {is_held}");
    let there = eventually(LIMIT, &what, async || {
        let holds = status(stage).await["holds"].as_array().cloned().unwrap_or_default();
        holds.iter().any(|hold| hold["reason"] == reason) == is_held
    });
    if there.await.is_err() {
        let groups = stage.command("XINFO", &["GROUPS", STREAM]).await;
        panic!("not {what}: {:#}; {groups:?}", status(stage).await);
    }
    let line = format!("outflow_back_pressure{{outbox=\"orders\",reason=\"{reason}\"}} ");
    let metrics = stage.metrics().await;
    assert!(metrics.contains(&format!("{line}{}", i64::from(is_held))), "{metrics}");
}

async fn verbose(stage: &Stage) -> String {
    let url = format!("http://127.0.0.1:{}/readyz?verbose", stage.admin_port);
    let answer = reqwest::get(url).await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200, "one that waits is ready");
    answer.text().await.expect("a text")
}

/// Bytes that Redis uses, and has refused for want of room.
async fn memory(stage: &Stage) -> (i64, bool) {
    let info = stage.command("INFO", &["everything"]).await.string().expect("a text");
    let used = info.lines().find_map(|line| line.trim().strip_prefix("used_memory:"));
    (used.expect("a line").parse().expect("a number"), info.contains("errorstat_OOM"))
}

async fn limit(stage: &Stage, bytes: i64) {
    stage.command("CONFIG", &["SET", "maxmemory", &bytes.to_string()]).await;
}

#[tokio::test]
async fn rows_wait_while_redis_is_nearly_full() {
    let stage = Stage::new(&outbox("")).await;
    let relay = stage.relay();
    stage.ready(200).await;
    let (used, _) = memory(&stage).await;
    limit(&stage, used * 100 / 95).await;
    held(&stage, "memory", true).await;
    Numbered { rows: 200, keys: 7 }.insert(&stage).await;
    let backlog = "outflow_backlog_events{outbox=\"orders\"} 200";
    let waits = eventually(LIMIT, backlog, async || stage.metrics().await.contains(backlog));
    waits.await.expect("the rows are there");
    let body = verbose(&stage).await;
    assert!(
        body.contains("orders: ok\norders: waits since ") && body.contains("memory_pause"),
        "{body}"
    );
    let words = "of maxmemory";
    let told = eventually(LIMIT, words, async || {
        let status = stage.asked(&["status", "--json"]).await.json();
        status[0]["outboxes"][0]["causes"].to_string().contains(words)
    });
    told.await.expect("status has the cause");
    assert_eq!((stage.length(STREAM).await, memory(&stage).await.1), (0, false));
    limit(&stage, 1 << 30).await;
    held(&stage, "memory", false).await;
    stage.drained().await;
    Numbered { rows: 200, keys: 7 }.check(&stage, STREAM).await;
    let log = relay.log();
    assert_eq!(log.matches("claiming no events").count(), 1, "{log}");
    assert_eq!(log.matches("Redis has room again").count(), 1, "{log}");
    assert!(!log.contains("cannot deliver"), "{log}");
}

/// More than fits, a consumer that is slower, and nothing is refused.
#[tokio::test]
async fn redis_is_never_full_while_a_consumer_reads_what_is_trimmed() {
    const ROWS: usize = 15_000;
    let trimmed = "batch_rows = 100\n[outbox.trim]\nwhen = \"consumed\"\ngroups = [\"slow\"]";
    let stage = Stage::new(&outbox(trimmed)).await;
    stage.command("XGROUP", &["CREATE", STREAM, "slow", "0", "MKSTREAM"]).await;
    let (used, _) = memory(&stage).await;
    let most = used + (16 << 20);
    limit(&stage, most).await;
    // 15,000 rows of 2 KB, which are 30 MB.
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
             select 'order', 'k' || i % 20, 'Counted', jsonb_build_object('key', 'k' || i % 20, \
             'n', i / 20 + 1, 'pad', repeat('x', 2000)) from generate_series(0, 14999) i",
        )
        .await;
    let relay = stage.relay();
    stage.ready(200).await;
    held(&stage, "memory", true).await;
    let redis = stage.redis_client();
    redis.ready(LIMIT).await.expect("a connection");
    let mut entries = Vec::new();
    let all = eventually(LIMIT, "every entry", async || {
        let args = ["GROUP", "slow", "one", "COUNT", "500", "STREAMS", STREAM, ">"];
        let Ok(reply) = redis.call("XREADGROUP", Args::from(args)).await else { return false };
        let of_stream = reply.items().first().map(|stream| stream.items()[1].items());
        let read = of_stream.unwrap_or_default();
        let ids: Vec<String> = read.iter().filter_map(|entry| entry.items()[0].string()).collect();
        if !ids.is_empty() {
            let args: Args =
                [STREAM, "slow"].into_iter().chain(ids.iter().map(String::as_str)).collect();
            redis.call("XACK", args).await.expect("an acknowledgement");
        }
        entries.extend(read.iter().map(crate::support::entry));
        entries.len() == ROWS
    });
    assert!(all.await.is_ok(), "{} entries\n{}", entries.len(), relay.log_tail());
    stage.drained().await;
    let counted = check_numbered(&entries);
    assert!(counted.len() == 20 && counted.values().all(|count| *count == 750), "{counted:?}");
    let (used, was_full) = memory(&stage).await;
    assert!(!was_full && used < most, "{used} of {most}\n{}", relay.log());
    assert!(!relay.log().contains("cannot deliver"), "{}", relay.log_tail());
    redis.close().await;
}

#[tokio::test]
async fn every_member_waits_while_a_group_is_too_far_behind() {
    let limited = "lag_max = 100\n[outbox.trim]\ngroups = [\"slow\"]";
    let stage = Stage::new(&outbox(limited)).await;
    stage.command("XGROUP", &["CREATE", STREAM, "slow", "0", "MKSTREAM"]).await;
    let members = [stage.relay(), stage.member("second")];
    stage.shared_by(2).await;
    Numbered { rows: 500, keys: 50 }.insert(&stage).await;
    stage.drained().await;
    held(&stage, "lag", true).await;
    let words = "the group \\\"slow\\\" is 500 entries behind in events.order";
    for member in &members {
        let told = eventually(LIMIT, words, async || member.log().contains(words));
        assert!(told.await.is_ok(), "{}", member.log_tail());
    }
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
             select 'order', 'k' || i, 'T', '{}' from generate_series(1, 100) i",
        )
        .await;
    let backlog = "outflow_backlog_events{outbox=\"orders\"} 100";
    let waits = eventually(LIMIT, backlog, async || stage.metrics().await.contains(backlog));
    waits.await.expect("the rows are there");
    assert_eq!(stage.length(STREAM).await, 500);
    let reads = async |count: &str| {
        stage
            .command(
                "XREADGROUP",
                &["GROUP", "slow", "one", "COUNT", count, "STREAMS", STREAM, ">"],
            )
            .await
    };
    reads("450").await;
    // One member may see it first, and bring the group beyond the limit again with its part.
    let part = eventually(LIMIT, "a part of them", async || stage.length(STREAM).await > 500);
    part.await.expect("a part of them");
    reads("100").await;
    held(&stage, "lag", false).await;
    stage.drained().await;
    assert_eq!(stage.length(STREAM).await, 600);
}

/// A single drain waits as a daemon does, and ends when all is delivered.
#[tokio::test]
async fn a_single_drain_waits_for_room() {
    let stage = Stage::new(&outbox("")).await;
    Numbered { rows: 100, keys: 7 }.insert(&stage).await;
    let (used, _) = memory(&stage).await;
    limit(&stage, used * 100 / 95).await;
    let mut once = stage.outflow("once", &["run", "--once"]);
    let words = "claiming no events";
    let told = eventually(LIMIT, words, async || once.log().contains(words));
    assert!(told.await.is_ok(), "{}", once.log_tail());
    limit(&stage, 1 << 30).await;
    assert!(once.wait(LIMIT).await.expect("an end").success(), "{}", once.log_tail());
    Numbered { rows: 100, keys: 7 }.check(&stage, STREAM).await;
}

/// Without `maxmemory`, and where Redis evicts, there is no limit; a user who may not ask is told
/// how to.
#[tokio::test]
async fn a_limit_without_maxmemory_is_off_and_says_so() {
    let stage = Stage::new(&outbox("")).await;
    let says = async |words: &str| {
        let check = stage.asked(&["check"]).await;
        assert!(check.stdout.contains(words), "{words} is not in {}", check.stdout);
    };
    says("redis.memory_pause (85%) is off, because Redis has no maxmemory").await;
    let relay = stage.relay();
    let words = "redis.memory_pause is off: Redis has no maxmemory";
    let told = eventually(LIMIT, words, async || relay.log().contains(words));
    assert!(told.await.is_ok(), "{}", relay.log_tail());
    limit(&stage, 1 << 30).await;
    says("the relay waits while Redis is 85% full").await;
    stage.command("CONFIG", &["SET", "maxmemory-policy", "volatile-lru"]).await;
    says("redis.memory_pause (85%) is off, because Redis evicts keys").await;
    drop(relay);

    let rights = ["on", ">hunter2", "~*", "+@all", "-info"];
    stage.command("ACL", &[&["SETUSER", "relay"], rights.as_slice()].concat()).await;
    let url = stage.redis.url().replace("redis://", "redis://relay:hunter2@");
    stage.configure_with(&url, &outbox(""));
    says("ACL SETUSER relay +info").await;
    let relay = stage.relay();
    let words = "Redis does not tell its memory";
    let told = eventually(LIMIT, words, async || relay.log().contains(words));
    assert!(told.await.is_ok(), "{}", relay.log_tail());
    Numbered { rows: 10, keys: 2 }.insert(&stage).await;
    stage.drained().await;
}

/// The master that has the streams is the one that counts.
#[tokio::test]
async fn on_a_cluster_the_node_of_the_streams_is_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    let sections = outbox("").replace("\"events.", "\"{{orders}}.events.");
    let (stage, cluster) =
        tokio::join!(Stage::bare(&sections), RedisCluster::start(dir.path(), 3, false, &[]));
    let cluster = cluster.expect("a cluster");
    stage.configure_with(&cluster.url(), &sections);
    stage.migrate().await;
    let _relay = stage.relay();
    stage.ready(200).await;
    let redis = Redis::open(&SecretString::from(cluster.url()), "test").expect("an address");
    redis.ready(LIMIT).await.expect("a connection");
    let node = cluster.owner("{orders}.events.order").await.expect("an owner");
    let server = redis.server_of("orders").await.expect("a node");
    let info: Reply = server.call("INFO", Args::from(["memory"])).await.expect("an answer");
    let info = info.string().expect("a text");
    let used = info.lines().find_map(|line| line.trim().strip_prefix("used_memory:"));
    let used: i64 = used.expect("a line").parse().expect("a number");
    let most = (used * 100 / 95).to_string();
    cluster.ask(node, "CONFIG", &["SET", "maxmemory", &most]).await.expect("a setting");
    held(&stage, "memory", true).await;
    cluster.ask(node, "CONFIG", &["SET", "maxmemory", "0"]).await.expect("a setting");
    held(&stage, "memory", false).await;
    Numbered { rows: 10, keys: 2 }.insert(&stage).await;
    stage.drained().await;
    redis.close().await;
}
