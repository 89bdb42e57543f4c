//! A stream that refuses its events stays behind alone, whoever comes and goes meanwhile, and
//! catches up in order.

use outflow_local::{Program, eventually};

use super::{LAYOUTS, are_there, arrive, both, kept_as, left_behind};
use crate::support::{LIMIT, Stage};

const SETTINGS: &str = "batch_rows = 10\npoll_interval = \"50ms\"";

async fn parks(member: &Program) {
    let parks = async || member.log().contains("parked it");
    let parked = eventually(LIMIT, "the stream to be parked", parks).await;
    assert!(parked.is_ok(), "{}", member.log_tail());
}

/// Nothing is left behind: it is one position again.
async fn is_whole(stage: &Stage) {
    let whole = async || left_behind(stage).await == 0;
    let whole = eventually(LIMIT, "the pieces of the stream to be merged", whole).await;
    whole.expect("one position");
}

#[tokio::test]
async fn a_key_of_another_type_parks_only_itself() {
    for layout in LAYOUTS {
        let stage = Stage::new(&kept_as(layout, SETTINGS)).await;
        stage.command("SET", &["events.bad", "not a stream"]).await;
        let mut one = stage.member("one");
        both(&stage, 1, 5).await;
        arrive(&stage, "events.good", 5).await;
        parks(&one).await;

        // Somebody comes, and the first one dies.
        let mut two = stage.member("two");
        stage.shared_by(2).await;
        both(&stage, 6, 5).await;
        arrive(&stage, "events.good", 10).await;
        one.kill();
        stage.shared_by(1).await;
        both(&stage, 11, 5).await;
        arrive(&stage, "events.good", 15).await;
        // Nobody knows that it was parked, but for the journal.
        two.terminate();
        two.wait(LIMIT).await.expect("an end");
        let mut three = stage.member("three");
        both(&stage, 16, 5).await;
        arrive(&stage, "events.good", 20).await;
        parks(&three).await;
        assert!(left_behind(&stage).await > 0, "{layout}: the stream has a piece of its own");
        assert_eq!(stage.number("select count(*) from outflow.dead_letter").await, 0);

        stage.command("DEL", &["events.bad"]).await;
        both(&stage, 21, 5).await;
        arrive(&stage, "events.bad", 25).await;
        arrive(&stage, "events.good", 25).await;
        is_whole(&stage).await;
        three.terminate();
        three.wait(LIMIT).await.expect("an end");
        for stream in ["events.good", "events.bad"] {
            are_there(&stage, stream, 25).await;
        }
    }
}

/// After a recovery the member goes on from the journal, which did not know that the stream had
/// stayed behind. The next probe looked at no rows and let go of the stream, which then refused the
/// next batch.
#[tokio::test]
async fn a_stream_is_still_parked_behind_an_outage() {
    for layout in LAYOUTS {
        let mut stage = Stage::new(&kept_as(layout, SETTINGS)).await;
        stage.command("SET", &["events.bad", "not a stream"]).await;
        let relay = stage.relay();
        let row = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
            values ('bad', 'a', 'T', '{\"key\": \"a\", \"n\": 1}')";
        stage.sql(row).await;
        parks(&relay).await;
        stage.redis.kill().await.expect("its end");
        // It is the probe that finds out.
        let waits = async || relay.log().contains("cannot deliver");
        let waits = eventually(LIMIT, "an outage", waits).await;
        waits.unwrap_or_else(|error| panic!("{layout}: {error}: {}", relay.log_tail()));
        let before = stage.refusals().await;
        stage.redis.start_again().await.expect("a start");
        let again = async || stage.refusals().await > before;
        let tried = eventually(LIMIT, "a refusal", again).await;
        tried.unwrap_or_else(|error| panic!("{layout}: {error}: {}", relay.log_tail()));
        stage.command("DEL", &["events.bad"]).await;
        stage.reaches("events.bad", 1).await;
        assert_eq!(relay.log().matches("parked it").count(), 1, "{layout}: {}", relay.log());
    }
}

#[tokio::test]
async fn a_stream_that_the_acl_forbids_parks_only_itself() {
    let stage = Stage::new(&kept_as("ring", SETTINGS)).await;
    let user = ["SETUSER", "relay", "on", ">secret", "+@all", "~outflow:*", "~events.good"];
    stage.command("ACL", &user).await;
    let file = stage.path().join("outflow.toml");
    let config = std::fs::read_to_string(&file).expect("a file");
    let config = config.replace("redis://127.0.0.1", "redis://relay:secret@127.0.0.1");
    std::fs::write(file, config).expect("a file");
    let members = [stage.member("one"), stage.member("two")];
    stage.shared_by(2).await;
    both(&stage, 1, 20).await;
    arrive(&stage, "events.good", 20).await;
    stage.command("ACL", &["SETUSER", "relay", "~events.bad"]).await;
    both(&stage, 21, 20).await;
    arrive(&stage, "events.bad", 40).await;
    arrive(&stage, "events.good", 40).await;
    is_whole(&stage).await;
    drop(members);
    are_there(&stage, "events.bad", 40).await;
}

/// One stream after another refuses, and takes its events again, under load.
#[tokio::test]
async fn streams_that_refuse_by_turns_disorder_nothing() {
    let stage = Stage::new(&kept_as("ring", SETTINGS)).await;
    let mut members = [stage.member("one"), stage.member("two")];
    stage.shared_by(2).await;
    let mut rounds = 0;
    for turn in 0..3 {
        let (refusing, other) =
            [("events.bad", "events.good"), ("events.good", "events.bad")][turn % 2];
        let hidden = format!("hidden.{turn}");
        // There may be no such stream yet.
        if rounds > 0 {
            stage.command("RENAME", &[refusing, &hidden]).await;
        }
        stage.command("SET", &[refusing, "not a stream"]).await;
        both(&stage, rounds + 1, 20).await;
        rounds += 20;
        arrive(&stage, other, rounds).await;
        if rounds > 20 {
            stage.command("RENAME", &[&hidden, refusing]).await;
        } else {
            stage.command("DEL", &[refusing]).await;
        }
        arrive(&stage, refusing, rounds).await;
    }
    is_whole(&stage).await;
    for member in &mut members {
        member.terminate();
        member.wait(LIMIT).await.expect("an end");
    }
    for stream in ["events.good", "events.bad"] {
        are_there(&stage, stream, rounds).await;
    }
}
