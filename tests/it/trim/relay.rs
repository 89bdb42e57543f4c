//! The relay trims: what has been read, or what is over a limit, and says what keeps it from it.

use std::collections::BTreeSet;

use outflow_connect::redis::{Args, Redis, Reply};
use outflow_local::{Program, RedisCluster, RedisSentinel, eventually};
use secrecy::SecretString;
use serde_json::Value;

use crate::support::{LIMIT, Numbered, Stage, outbox};

const STREAM: &str = "events.order";
const CONSUMED: &str = "[outbox.trim]\nwhen = \"consumed\"\n";
/// Entries that a stream's last node may hold, with the one that was delivered last.
const NODE: i64 = 100;

async fn call(redis: &Redis, command: &'static str, args: &[&str]) -> Reply {
    redis.call(command, args.iter().copied().collect::<Args>()).await.expect(command)
}

/// A group reads this many entries, and acknowledges them or not.
async fn read(redis: &Redis, stream: &str, group: &str, count: usize, acknowledges: bool) {
    let count = count.to_string();
    let args = ["GROUP", group, "one", "COUNT", &count, "STREAMS", stream, ">"];
    let reply = call(redis, "XREADGROUP", &args).await;
    let entries = reply.items()[0].items()[1].items();
    let ids: Vec<String> =
        entries.iter().map(|entry| entry.items()[0].string().expect("an id")).collect();
    if acknowledges {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        call(redis, "XACK", &[&[stream, group], ids.as_slice()].concat()).await;
    }
}

async fn length(redis: &Redis, stream: &str) -> i64 {
    call(redis, "XLEN", &[stream]).await.int().expect("a length")
}

async fn trimmed_to(redis: &Redis, stream: &str, least: i64, most: i64) {
    let what = format!("{stream} to have {least} to {most} entries");
    let reached =
        eventually(LIMIT, &what, async || (least..=most).contains(&length(redis, stream).await));
    reached.await.expect("it is trimmed");
}

async fn status(stage: &Stage) -> Value {
    let url = format!("http://127.0.0.1:{}/status", stage.admin_port);
    let body = reqwest::get(url).await.expect("an answer").text().await.expect("a text");
    serde_json::from_str::<Value>(&body).expect("JSON")["outboxes"][0].clone()
}

/// Waits until the relay says this of a group.
async fn noted(stage: &Stage, kind: &str, group: &str) {
    let what = format!("{kind}: {group}");
    let noted = eventually(LIMIT, &what, async || {
        let status = status(stage).await;
        let notes = status["streams"].as_array().expect("a list");
        notes.iter().any(|note| note["kind"] == kind && note["group"] == group)
    });
    noted.await.expect("a note");
}

async fn metric(stage: &Stage, line: &str) {
    let there = eventually(LIMIT, line, async || stage.metrics().await.contains(line));
    assert!(there.await.is_ok(), "{line} is not in {}", stage.metrics().await);
}

async fn connected(stage: &Stage) -> Redis {
    let redis = stage.redis_client();
    redis.ready(LIMIT).await.expect("a connection");
    redis
}

#[tokio::test]
async fn what_every_group_has_read_is_trimmed_once_the_named_ones_exist() {
    let stage = Stage::new(&outbox(&format!("{CONSUMED}groups = [\"billing\"]"))).await;
    let (redis, mut relay) = (connected(&stage).await, stage.relay());
    Numbered { rows: 1_000, keys: 7 }.insert(&stage).await;
    stage.drained().await;
    call(&redis, "XGROUP", &["CREATE", STREAM, "other", "0"]).await;
    read(&redis, STREAM, "other", 1_000, true).await;
    noted(&stage, "missing", "billing").await;
    assert_eq!(length(&redis, STREAM).await, 1_000, "billing comes late");
    metric(&stage, "outflow_stream_trim_waits{outbox=\"orders\"} 1").await;
    let words = "the group \"billing\" of trim.groups does not exist there";
    let told = eventually(LIMIT, words, async || {
        stage.asked(&["status"]).await.data().contains(words)
            && stage.asked(&["check"]).await.stdout.contains(words)
    });
    told.await.expect("status and check say so");
    let words = "of trim.groups does not exist there";
    assert_eq!(relay.log().matches(words).count(), 1, "the log says it once");

    // It reads 600 and acknowledges 500: what is pending stays.
    call(&redis, "XGROUP", &["CREATE", STREAM, "billing", "0"]).await;
    read(&redis, STREAM, "billing", 500, true).await;
    read(&redis, STREAM, "billing", 100, false).await;
    trimmed_to(&redis, STREAM, 500, 500 + NODE).await;
    metric(&stage, "outflow_stream_trim_waits{outbox=\"orders\"} 0").await;
    let group = "outbox=\"orders\",stream=\"events.order\"";
    metric(&stage, &format!("outflow_stream_group_lag_entries{{group=\"billing\",{group}}} 400"))
        .await;
    metric(&stage, &format!("outflow_stream_unread_trimmed_total{{{group}}} 0")).await;
    let pending = call(&redis, "XPENDING", &[STREAM, "billing"]).await;
    let oldest = pending.items()[1].string().expect("an id");
    let there = call(&redis, "XRANGE", &[STREAM, &oldest, &oldest]).await;
    assert_eq!(there.items().len(), 1, "the oldest pending entry is there");

    // A consumer that is gone for good is not waited for: an operator decides.
    call(&redis, "XGROUP", &["DESTROY", STREAM, "billing"]).await;
    noted(&stage, "missing", "billing").await;
    call(&redis, "XGROUP", &["CREATE", STREAM, "billing", "$"]).await;
    trimmed_to(&redis, STREAM, 1, NODE).await;
    relay.terminate();
    assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
    redis.close().await;
}

#[tokio::test]
async fn the_newest_stay_although_they_were_read() {
    let kept = format!("{CONSUMED}keep_read_entries = 300");
    let stage = Stage::new(&outbox(&kept)).await;
    let (redis, _relay) = (connected(&stage).await, stage.relay());
    Numbered { rows: 1_000, keys: 7 }.insert(&stage).await;
    stage.drained().await;
    call(&redis, "XGROUP", &["CREATE", STREAM, "all", "$"]).await;
    trimmed_to(&redis, STREAM, 300, 300 + NODE).await;
    redis.close().await;
}

#[tokio::test]
async fn a_limit_drops_what_was_not_read_and_says_so() {
    let limited = "[outbox.trim]\nwhen = \"length\"\nmax_len = 200";
    let stage = Stage::new(&outbox(limited)).await;
    let redis = connected(&stage).await;
    // The dead letters of a consumer fit the template, and are not the relay's.
    for _ in 0..500 {
        call(&redis, "XADD", &["events.order.dead", "*", "f", "v"]).await;
    }
    call(&redis, "XGROUP", &["CREATE", STREAM, "slow", "0", "MKSTREAM"]).await;
    let relay = stage.relay();
    Numbered { rows: 1_000, keys: 7 }.insert(&stage).await;
    stage.drained().await;
    trimmed_to(&redis, STREAM, 200, 200 + NODE).await;
    let lost = 1_000 - length(&redis, STREAM).await;
    let series = "outbox=\"orders\",stream=\"events.order\"";
    metric(&stage, &format!("outflow_stream_unread_trimmed_total{{{series}}} {lost}")).await;
    metric(&stage, &format!("outflow_stream_trimmed_total{{{series}}} {lost}")).await;
    let words = "trimmed entries that a consumer group had not read";
    let told = eventually(LIMIT, words, async || relay.log().contains(words));
    told.await.expect("a line");
    assert_eq!(length(&redis, "events.order.dead").await, 500, "it is somebody else's");
    redis.close().await;
}

#[tokio::test]
async fn a_group_that_does_not_read_is_named_and_stays() {
    let reported = format!("{CONSUMED}stale_group_after = \"1ms\"");
    let stage = Stage::new(&outbox(&reported)).await;
    let (redis, _relay) = (connected(&stage).await, stage.relay());
    Numbered { rows: 300, keys: 7 }.insert(&stage).await;
    stage.drained().await;
    noted(&stage, "missing", "").await;
    call(&redis, "XGROUP", &["CREATE", STREAM, "gone", "0"]).await;
    noted(&stage, "stale", "gone").await;
    metric(&stage, "outflow_stream_stale_groups{outbox=\"orders\"} 1").await;
    let words = "XGROUP DESTROY events.order gone";
    let told = eventually(LIMIT, words, async || {
        stage.asked(&["status"]).await.data().contains(words)
            && stage.asked(&["check"]).await.stdout.contains(words)
    });
    told.await.expect("status and check have the command");
    assert_eq!(length(&redis, STREAM).await, 300, "it holds its entries");
    read(&redis, STREAM, "gone", 300, true).await;
    trimmed_to(&redis, STREAM, 1, NODE).await;
    metric(&stage, "outflow_stream_stale_groups{outbox=\"orders\"} 0").await;
    redis.close().await;
}

/// A user who may not: events are delivered, and `check` has the line.
#[tokio::test]
async fn a_missing_permission_keeps_no_event() {
    let stage = Stage::new(&outbox(CONSUMED)).await;
    let rights = ["on", ">hunter2", "~outflow:journal:*", "%W~events.*", "+@all", "-xtrim"];
    stage.command("ACL", &[&["SETUSER", "relay"], rights.as_slice()].concat()).await;
    let url = stage.redis.url().replace("redis://", "redis://relay:hunter2@");
    stage.configure_with(&url, &outbox(CONSUMED));
    let redis = connected(&stage).await;
    let relay = stage.relay();
    Numbered { rows: 500, keys: 7 }.insert(&stage).await;
    stage.drained().await;
    let words = "cannot look at a stream, so it is neither trimmed nor measured";
    eventually(LIMIT, words, async || relay.log().contains(words)).await.expect("a line");
    stage.ready(200).await;
    assert!(status(&stage).await["look_problem"]["reason"].is_string());
    // Each line that is printed helps: first the pattern, then the command.
    call(&redis, "XGROUP", &["CREATE", STREAM, "all", "$"]).await;
    for line in ["~events.*", "+xtrim"] {
        let line = format!("ACL SETUSER relay {line}");
        let check = stage.asked(&["check"]).await;
        assert_eq!(check.code, Some(0), "{check:?}");
        assert!(check.stdout.contains(&line), "{line} is not in {}", check.stdout);
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        stage.run_in_redis("ACL", &words).await;
    }
    trimmed_to(&redis, STREAM, 1, NODE).await;
    let check = stage.asked(&["check"]).await.data();
    assert!(check.contains("user relay may look at its streams and trim them"), "{check}");
    // Each reason is told once: the relay may have looked between the two lines.
    let log = relay.log();
    let reasons: Vec<&str> =
        log.split(words).skip(1).filter_map(|rest| rest.lines().next()).collect();
    let distinct: BTreeSet<&str> = reasons.iter().copied().collect();
    assert!(!reasons.is_empty() && distinct.len() == reasons.len(), "{reasons:?}");
    redis.close().await;
}

/// Each permission that looking and trimming need is missing alone, and its line is printed. What
/// the relay does without is no warning.
#[tokio::test]
async fn each_permission_to_look_and_to_trim_has_its_line() {
    let reported = format!("{CONSUMED}stale_group_after = \"1h\"");
    let stage = Stage::new(&outbox(&reported)).await;
    let url = stage.redis.url().replace("redis://", "redis://relay:hunter2@");
    stage.configure_with(&url, &outbox(&reported));
    let taken = [
        ("xinfo|groups", "warning"),
        ("xinfo|consumers", "warning"),
        ("xpending", "warning"),
        ("xtrim", "warning"),
        ("info", "warning"),
        ("memory|usage", "ok"),
    ];
    let mut found = 0;
    for (rule, level) in taken {
        let less = format!("-{rule}");
        let rights = ["reset", "on", ">hunter2", "~*", "&*", "+@all", &less];
        stage.command("ACL", &[&["SETUSER", "relay"], rights.as_slice()].concat()).await;
        let check = stage.asked(&["check"]).await;
        assert_eq!(check.code, Some(0), "{rule}: {check:?}");
        let line = format!("ACL SETUSER relay +{rule}");
        let said: Vec<&str> = check.stdout.lines().filter(|said| said.contains(&line)).collect();
        assert_eq!(said.len(), 1, "{rule}: {}", check.stdout);
        assert!(said[0].contains(&format!("{level}: redis: ")), "{rule}: {said:?}");
        found += 1;
    }
    assert_eq!(found, 6);
}

/// Only the owner of slot 0 looks, and another member goes on when it is gone.
#[tokio::test]
async fn one_member_trims_and_another_takes_over() {
    let stage = Stage::new(&outbox(CONSUMED)).await;
    let redis = connected(&stage).await;
    let mut members: Vec<Program> = ["one", "two"].map(|name| stage.member(name)).into();
    stage.shared_by(2).await;
    Numbered { rows: 1_000, keys: 50 }.insert(&stage).await;
    stage.drained().await;
    call(&redis, "XGROUP", &["CREATE", STREAM, "all", "$"]).await;
    trimmed_to(&redis, STREAM, 1, NODE).await;
    let trims = |member: &Program| member.log().contains("trimmed");
    // The line may come after the trim.
    let first =
        eventually(LIMIT, "a line of the owner of slot 0", async || members.iter().position(trims));
    let first = first.await.expect("it trims");
    assert!(!trims(&members[1 - first]), "one of the two");
    let mut gone = members.remove(first);
    gone.kill();
    Numbered { rows: 1_000, keys: 50 }.insert(&stage).await;
    stage.drained().await;
    call(&redis, "XGROUP", &["SETID", STREAM, "all", "$"]).await;
    trimmed_to(&redis, STREAM, 1, NODE).await;
    let trimmed = eventually(LIMIT, "a line of the other", async || trims(&members[0]));
    assert!(trimmed.await.is_ok(), "{}", members[0].log_tail());
    redis.close().await;
}

#[tokio::test]
async fn on_a_cluster_and_through_sentinels() {
    let dir = tempfile::tempdir().expect("a directory");
    let sections = outbox(CONSUMED).replace("\"events.", "\"{{orders}}.events.");
    let (stage, cluster, sentinel) = tokio::join!(
        Stage::bare(&sections),
        RedisCluster::start(dir.path(), 3, false, &[]),
        RedisSentinel::start(dir.path(), 1, &[])
    );
    let (cluster, sentinel) = (cluster.expect("a cluster"), sentinel.expect("servers"));
    let stream = "{orders}.events.order";
    for url in [cluster.url(), sentinel.url()] {
        let redis = Redis::open(&SecretString::from(url.clone()), "test").expect("an address");
        redis.ready(LIMIT).await.expect("a connection");
        stage.configure_with(&url, &sections);
        stage.migrate().await;
        let mut relay = stage.relay();
        Numbered { rows: 1_000, keys: 7 }.insert(&stage).await;
        stage.drained().await;
        call(&redis, "XGROUP", &["CREATE", stream, "all", "0"]).await;
        read(&redis, stream, "all", 600, true).await;
        trimmed_to(&redis, stream, 400, 400 + NODE).await;
        relay.terminate();
        assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
        redis.close().await;
    }
}
