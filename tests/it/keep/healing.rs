//! A server that went back in time: what Redis has lost is sent again, and nothing else.

use std::path::{Path, PathBuf};

use super::delivery::{check, counters, write};
use super::kept_with;
use crate::support::{LIMIT, Numbered, Stage};

/// What Redis has on its disk now.
pub(super) async fn snapshot(stage: &mut Stage, name: &str) -> PathBuf {
    let kept = stage.path().join(name);
    stage.redis.kill().await.expect("its end");
    stage.redis.copy_files(&kept).expect("a copy");
    stage.redis.start_again().await.expect("a start");
    kept
}

/// Redis comes back with what it had then.
pub(super) async fn put_back(stage: &mut Stage, kept: &Path) {
    stage.redis.kill().await.expect("its end");
    stage.redis.put_back(kept).expect("a copy");
    stage.redis.start_again().await.expect("a start");
}

#[tokio::test]
async fn an_older_redis_is_given_what_it_has_lost() {
    let mut stage = Stage::new(&kept_with("batch_rows = 20")).await;
    counters(&stage).await;
    let mut relay = stage.relay();
    write(&stage, 4, 50).await;
    check(&stage).await;
    let old = snapshot(&mut stage, "old").await;
    write(&stage, 4, 50).await;
    check(&stage).await;
    put_back(&mut stage, &old).await;
    check(&stage).await;
    write(&stage, 4, 20).await;
    check(&stage).await;
    relay.terminate();
    relay.wait(LIMIT).await.expect("an end");
    let log = relay.log();
    assert!(log.contains("Redis came back in an older state"), "{log}");
}

#[tokio::test]
async fn redis_goes_back_again_and_again_while_three_members_work() {
    let mut stage = Stage::new(&kept_with("batch_rows = 20")).await;
    counters(&stage).await;
    let members: Vec<_> = (0..3).map(|number| stage.member(&format!("member-{number}"))).collect();
    stage.shared_by(3).await;
    for round in 0..4 {
        let old = snapshot(&mut stage, &format!("old-{round}")).await;
        write(&stage, 6, 40).await;
        put_back(&mut stage, &old).await;
        write(&stage, 6, 10).await;
    }
    check(&stage).await;
    drop(members);
}

#[tokio::test]
async fn an_empty_redis_goes_on_from_the_copy_or_from_the_beginning_or_not_at_all() {
    for (on_loss, expected) in [("resume", 100), ("resend", 200)] {
        let stage =
            Stage::new(&kept_with(&format!("[outbox.keep]\non_loss = \"{on_loss}\""))).await;
        let numbered = Numbered { rows: 100, keys: 5 };
        numbered.insert(&stage).await;
        stage.once().await;
        stage.command("FLUSHALL", &[]).await;
        numbered.insert(&stage).await;
        stage.once().await;
        assert_eq!(stage.length("events.order").await, expected, "{on_loss}");
    }
    let stage = Stage::new(&kept_with("[outbox.keep]\non_loss = \"stop\"")).await;
    Numbered { rows: 100, keys: 5 }.insert(&stage).await;
    stage.once().await;
    stage.command("FLUSHALL", &[]).await;
    let (code, log) = stage.finished("stopped", &["run"]).await;
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("outflow position set --outbox orders"), "{log}");
    assert_eq!(stage.length("events.order").await, 0);
}
