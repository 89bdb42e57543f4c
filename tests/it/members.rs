//! Several relays on one outbox: they share the slots out, take over, hand over, and never disorder
//! a key.

use outflow_local::{Signal, eventually};

use crate::support::{LIMIT, Numbered, Stage, outbox};

const SMALL_BATCHES: &str = "batch_rows = 20";
const ROWS: Numbered = Numbered { rows: 20_000, keys: 97 };

#[tokio::test]
async fn members_share_the_work_and_keep_the_order_of_each_key() {
    let stage = Stage::new(&outbox(SMALL_BATCHES)).await;
    let mut members: Vec<_> = ["one", "two", "three"].map(|name| stage.member(name)).into();
    stage.shared_by(3).await;
    ROWS.insert(&stage).await;
    stage.drained().await;
    ROWS.check(&stage, "events.order").await;
    for member in &mut members {
        member.terminate();
        assert!(member.wait(LIMIT).await.expect("an end").success(), "{}", member.log_tail());
    }
}

#[tokio::test]
async fn a_killed_member_is_taken_over_from() {
    let stage = Stage::new(&outbox(SMALL_BATCHES)).await;
    let (mut first, _second) = (stage.member("first"), stage.member("second"));
    stage.shared_by(2).await;
    ROWS.insert(&stage).await;
    stage.reaches("events.order", 1_000).await;
    first.kill();
    stage.drained().await;
    stage.shared_by(1).await;
    ROWS.check(&stage, "events.order").await;
}

/// A rolling restart under load: each member is replaced while events come in.
#[tokio::test]
async fn a_rolling_restart_loses_doubles_and_disorders_nothing() {
    let stage = Stage::new(&outbox(SMALL_BATCHES)).await;
    let mut members: Vec<_> = ["a", "b", "c"].map(|name| stage.member(name)).into();
    stage.shared_by(3).await;
    ROWS.insert(&stage).await;
    stage.reaches("events.order", 500).await;
    for name in ["d", "e", "f"] {
        let mut old = members.remove(0);
        old.terminate();
        assert!(old.wait(LIMIT).await.expect("an end").success(), "{}", old.log_tail());
        members.push(stage.member(name));
        stage.shared_by(3).await;
    }
    stage.drained().await;
    ROWS.check(&stage, "events.order").await;
}

/// A frozen member's slots are taken over within the time that its sessions idle out; awake again,
/// it finds its claims gone, appends nothing, and joins anew.
#[tokio::test]
async fn a_frozen_member_is_taken_over_from_and_comes_back() {
    let stage = Stage::new(&outbox(SMALL_BATCHES)).await;
    let (frozen, second) = (stage.member("frozen"), stage.member("second"));
    let mut frozen = frozen;
    stage.shared_by(2).await;
    ROWS.insert(&stage).await;
    stage.reaches("events.order", 1_000).await;
    frozen.signal(Signal::SIGSTOP);
    stage.drained().await;
    stage.shared_by(1).await;
    frozen.signal(Signal::SIGCONT);
    stage.shared_by(2).await;
    ROWS.check(&stage, "events.order").await;
    drop(second);
}

/// During a rolling upgrade, members that read the table another way wait for the old ones to end.
#[tokio::test]
async fn a_member_with_another_configuration_stands_by() {
    let stage = Stage::new(&outbox("")).await;
    let mut old = stage.member("old");
    stage.shared_by(1).await;
    let one = Numbered { rows: 1, keys: 1 };
    one.insert(&stage).await;
    stage.reaches("events.order", 1).await;
    stage.configure(&outbox("format = \"payload\""));
    let new = stage.member("new");
    eventually(LIMIT, "the new one to stand by", async || new.log().contains("standby: "))
        .await
        .expect("standby");
    one.insert(&stage).await;
    stage.reaches("events.order", 2).await;
    // It goes on in the same generation, and finds what it had appended.
    assert!(!old.log().contains("Redis lost data"), "{}", old.log_tail());
    old.terminate();
    assert!(old.wait(LIMIT).await.expect("an end").success(), "{}", old.log_tail());
    one.insert(&stage).await;
    stage.reaches("events.order", 3).await;
    let names: Vec<String> =
        stage.entries("events.order").await.iter().map(crate::support::Entry::names).collect();
    assert_eq!(names, ["id type key time payload", "id type key time payload", "payload"]);
}

/// With `poll_interval` at an hour, every event finds its member by notification alone, whichever
/// slots that owns.
#[tokio::test]
async fn sleeping_members_are_woken_for_every_slot() {
    let stage = Stage::new(&outbox("poll_interval = \"1h\"")).await;
    let _members = ["one", "two", "three"].map(|name| stage.member(name));
    stage.shared_by(3).await;
    for round in 1..=40 {
        stage
            .sql(&format!(
                "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
                    ('order', 'k{round}', 'T', '{{}}')"
            ))
            .await;
        stage.reaches("events.order", round).await;
    }
}
