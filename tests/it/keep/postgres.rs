//! A Postgres that crashes, or that comes back in an older state: no row that is there is missing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outflow_local::{eventually, session};

use super::delivery::{check, counters, write};
use super::healing::{put_back, snapshot};
use super::{LAYOUTS, kept_as};
use crate::support::{LIMIT, Stage};

/// Writes to a few hot keys until the server is gone; every second writer waits for no disk, and
/// some transactions come to nothing, so that transaction numbers are used that no log has.
async fn writes(url: String, number: u32, stop: Arc<AtomicBool>) {
    let Ok(client) = session(&url).await else { return };
    if number.is_multiple_of(2) {
        let asynchronous = client.batch_execute("set synchronous_commit = off").await;
        asynchronous.expect("a setting");
    }
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let key = (number * 7 + round * 13) % 30;
        let end = if (number + round).is_multiple_of(3) { "rollback" } else { "commit" };
        let work = format!(
            "begin; with c as (update counter set n = n + 1 where key = 'k{key}' returning key, n) \
             insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
             select 'order', key, 'T', json_build_object('key', key, 'n', n) from c; {end}"
        );
        if client.batch_execute(&work).await.is_err() {
            return;
        }
    }
}

/// How often each event is in the stream.
async fn delivered(stage: &Stage) -> HashMap<String, usize> {
    let mut delivered = HashMap::new();
    for entry in stage.entries("events.order").await {
        *delivered.entry(entry.field("id").to_owned()).or_default() += 1;
    }
    delivered
}

/// Events of the table, each of which must come.
async fn rows(stage: &Stage) -> Vec<String> {
    let rows = stage.client().await.query("select event_id::text from outbox", &[]).await;
    rows.expect("rows").iter().map(|row| row.get(0)).collect()
}

async fn all_come(stage: &Stage) -> HashMap<String, usize> {
    let rows = rows(stage).await;
    let all = async || {
        let delivered = delivered(stage).await;
        rows.iter().all(|id| delivered.contains_key(id)).then_some(delivered)
    };
    let all = eventually(LIMIT, "each row that is there to be delivered", all).await;
    all.expect("no row is missing")
}

#[tokio::test]
async fn a_crash_under_writers_that_wait_for_no_disk() {
    for layout in LAYOUTS {
        let mut stage = Stage::new(&kept_as(layout, "batch_rows = 20")).await;
        counters(&stage).await;
        let members = [stage.member("one"), stage.member("two")];
        stage.shared_by(2).await;
        for _ in 0..4 {
            let before = stage.length("events.order").await;
            let stop = Arc::new(AtomicBool::new(false));
            let writers: Vec<_> = (0..6)
                .map(|number| tokio::spawn(writes(stage.postgres.url(), number, Arc::clone(&stop))))
                .collect();
            stage.reaches("events.order", before + 300).await;
            stage.postgres.stop_immediate().await.expect("a crash");
            stop.store(true, Ordering::Relaxed);
            for writer in writers {
                writer.await.expect("a writer");
            }
            stage.postgres.start_again().await.expect("a start");
        }
        let delivered = all_come(&stage).await;
        let doubled: Vec<_> = delivered.iter().filter(|(_, times)| **times > 1).collect();
        assert!(doubled.is_empty(), "{layout}: {doubled:?}");
        // Nor was anything delivered that a crash took back: each key counts without a gap.
        check(&stage).await;
        drop(members);
    }
}

/// As after a restore of a base backup: the system and the timeline are the same, the numbers of
/// transactions and the ids come again.
#[tokio::test]
async fn an_older_postgres_is_noticed_and_all_its_rows_come() {
    for layout in LAYOUTS {
        let mut stage = Stage::new(&kept_as(layout, "batch_rows = 20")).await;
        counters(&stage).await;
        let mut relay = stage.relay();
        write(&stage, 4, 40).await;
        check(&stage).await;
        let old = stage.path().join("old");
        stage.postgres.stop_fast().await.expect("a stop");
        stage.postgres.copy_files(&old).expect("a copy");
        stage.postgres.start_again().await.expect("a start");
        write(&stage, 4, 40).await;
        check(&stage).await;

        stage.postgres.stop_fast().await.expect("a stop");
        stage.postgres.put_back(&old).expect("a copy");
        stage.postgres.start_again().await.expect("a start");
        write(&stage, 4, 60).await;
        all_come(&stage).await;
        // What comes from here on comes once.
        let before = delivered(&stage).await;
        write(&stage, 4, 20).await;
        let after = all_come(&stage).await;
        relay.terminate();
        relay.wait(LIMIT).await.expect("an end");
        let doubled = after.iter().find(|(id, times)| **times > 1 && !before.contains_key(*id));
        assert_eq!(doubled, None, "{layout}");
        let log = relay.log();
        assert!(log.contains("Postgres was restored"), "{layout}: {log}");
    }
}

/// The relays are down when it happens, and others come.
#[tokio::test]
async fn an_older_postgres_is_noticed_by_relays_that_start_later() {
    let mut stage = Stage::new(&kept_as("ring", "batch_rows = 20")).await;
    counters(&stage).await;
    write(&stage, 4, 40).await;
    stage.once().await;
    let old = stage.path().join("old");
    stage.postgres.stop_fast().await.expect("a stop");
    stage.postgres.copy_files(&old).expect("a copy");
    stage.postgres.start_again().await.expect("a start");
    let mut relay = stage.relay();
    write(&stage, 4, 40).await;
    check(&stage).await;
    relay.terminate();
    relay.wait(LIMIT).await.expect("an end");
    stage.postgres.stop_fast().await.expect("a stop");
    stage.postgres.put_back(&old).expect("a copy");
    stage.postgres.start_again().await.expect("a start");
    write(&stage, 4, 40).await;
    let members = [stage.member("one"), stage.member("two")];
    all_come(&stage).await;
    let told = members.iter().any(|member| member.log().contains("Postgres was restored"));
    assert!(told, "{}", members[0].log());
}

/// As a standby that is promoted: on another timeline, in which the numbers of what it lacks are
/// those of other transactions. Redis then comes back with the position of the one before.
#[tokio::test]
async fn an_older_redis_of_the_postgres_before_is_given_what_it_lacks() {
    let mut stage = Stage::new(&kept_as("plain", "batch_rows = 20")).await;
    counters(&stage).await;
    write(&stage, 4, 40).await;
    stage.once().await;
    let (data, old) = (stage.path().join("postgres"), stage.path().join("old"));
    stage.postgres.stop_fast().await.expect("a stop");
    stage.postgres.copy_files(&old).expect("a copy");
    stage.postgres.start_again().await.expect("a start");
    write(&stage, 4, 40).await;
    stage.once().await;
    let redis = snapshot(&mut stage, "redis-before").await;

    stage.postgres.stop_fast().await.expect("a stop");
    stage.postgres.put_back(&old).expect("a copy");
    let auto = data.join("postgresql.auto.conf");
    let mut settings = std::fs::read_to_string(&auto).expect("settings");
    settings.push_str("restore_command = 'false'\n");
    // Written over, the owner stays.
    std::fs::write(&auto, settings).expect("settings");
    std::fs::write(data.join("recovery.signal"), "").expect("a signal");
    stage.postgres.start_again().await.expect("a start");
    let recovers = "select pg_is_in_recovery()::integer::bigint";
    let is_promoted = async || (stage.number(recovers).await == 0).then_some(());
    eventually(LIMIT, "the end of the recovery", is_promoted).await.expect("a primary");
    write(&stage, 4, 60).await;
    stage.once().await;
    all_come(&stage).await;

    put_back(&mut stage, &redis).await;
    stage.once().await;
    all_come(&stage).await;
    // It is as it was: what comes from here on comes once.
    write(&stage, 4, 20).await;
    stage.once().await;
    let delivered = all_come(&stage).await;
    let late = stage.client().await;
    let late = late.query("select event_id::text from outbox order by id desc limit 80", &[]).await;
    let late: Vec<String> = late.expect("rows").iter().map(|row| row.get(0)).collect();
    assert!(late.iter().all(|id| delivered[id] == 1));
}
