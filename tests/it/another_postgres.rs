//! A Postgres that comes back in an older state, on another timeline, below a relay that deletes.

use outflow_local::eventually;

use crate::support::{LIMIT, Numbered, Stage, outbox};

const TOLD: &str = "Postgres was restored or has failed over";
const COUNTED: &str = "outflow_postgres_rollbacks_total{outbox=\"orders\"}";

/// Rows that came back are sent, and it is told once; a restart is not told.
#[tokio::test]
async fn a_recovery_to_an_earlier_point_is_told_once() {
    let mut stage = Stage::new(&outbox("")).await;
    let (base, numbered) = (stage.path().join("base"), Numbered { rows: 40, keys: 4 });
    let mut relay = stage.relay();
    stage.ready(200).await;
    stage.postgres.base_backup(&base).await.expect("a base backup");
    stage.sql("select pg_create_restore_point('before')").await;
    numbered.insert(&stage).await;
    stage.drained().await;

    stage.postgres.stop_immediate().await.expect("its end");
    stage.postgres.start_again().await.expect("a start");
    numbered.insert(&stage).await;
    stage.drained().await;
    assert!(!relay.log().contains(TOLD), "{}", relay.log());

    stage.postgres.stop_fast().await.expect("its end");
    stage.postgres.recover_to(&base, "before").await.expect("an older state");
    assert_eq!(stage.number("select count(*) from outbox").await, 0, "what came after is gone");
    numbered.insert(&stage).await;
    stage.drained().await;
    let told = async || relay.log().contains(TOLD);
    eventually(LIMIT, "the relay to tell of it", told).await.expect("a word");
    let counted = async || stage.metrics().await.contains(&format!("{COUNTED} 1\n"));
    eventually(LIMIT, "the relay to count it", counted).await.expect("a number");
    assert_eq!(stage.length("events.order").await, 3 * 40);

    relay.terminate();
    relay.wait(LIMIT).await.expect("an end");
    stage.once().await;
    assert_eq!(relay.log().matches(TOLD).count(), 1, "{}", relay.log());
}
