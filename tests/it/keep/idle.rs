//! An outbox at rest: its last position is in Postgres, and its journal knows that it is.

use outflow_connect::redis::Reply;
use outflow_local::eventually;

use super::{journal_key, kept};
use crate::support::{LIMIT, Numbered, Stage};

/// The last batch that the journal has, and the last one of which it knows the copy.
async fn batches(stage: &Stage) -> (i64, i64) {
    let fields = stage.command("HGETALL", &[&journal_key(stage).await]).await;
    let text = |reply: &Reply| reply.string().unwrap_or_default();
    let of = |kind: &str| {
        let mut pairs = fields.items().chunks_exact(2);
        let pair = pairs.find(|pair| text(&pair[0]).starts_with(kind));
        pair.map_or(0, |pair| text(&pair[1]).parse().expect("a number"))
    };
    (of("last:"), of("copied:"))
}

/// Whether the copy in Postgres is of this batch, and where the journal says that the member is.
async fn is_copied(stage: &Stage, batch: i64) -> bool {
    let pieces = super::pieces(stage).await.join("\n");
    let same = format!(
        "select count(*) from outflow.position where batch = {batch} and pieces = '{pieces}'"
    );
    stage.number(&same).await == 1
}

#[tokio::test]
async fn the_journal_learns_of_the_last_copy_while_no_event_comes_and_at_a_stop() {
    let stage = Stage::new(&kept("")).await;
    let mut relay = stage.relay();
    Numbered { rows: 20, keys: 3 }.insert(&stage).await;
    stage.reaches("events.order", 20).await;
    let (sent, _) = batches(&stage).await;
    assert!(sent > 0);
    let rest = eventually(LIMIT, "the journal to know the copy of the last events", async || {
        batches(&stage).await.1 >= sent
    });
    rest.await.expect("what is expected");
    let count = format!("select count(*) from outflow.position where batch >= {sent}");
    assert_eq!(stage.number(&count).await, 1);
    // And a member that stops right behind an append.
    Numbered { rows: 20, keys: 3 }.insert(&stage).await;
    stage.reaches("events.order", 40).await;
    relay.terminate();
    assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
    let (last, copied) = batches(&stage).await;
    assert_eq!(last, copied);
    assert!(is_copied(&stage, last).await);
}
