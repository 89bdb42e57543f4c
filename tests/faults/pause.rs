//! Somebody pauses the outbox or a stream, and resumes it or lets the pause end by itself.

use std::time::Duration;

use fastrand::Rng;
use outflow_local::eventually;
use tokio::time::sleep;

use super::stage::{LIMIT, Stage};

/// The members are told, or see it when they look.
pub(crate) async fn pause(stage: &Stage, length: Duration, rng: &mut Rng) -> String {
    let stream = ["", "events.order", "events.payment", "events.stock"][rng.usize(0..4)];
    let (is_told, ends) = (rng.bool(), rng.bool());
    let tell = if is_told {
        "select pg_notify('outflow_members_' || relation::oid::text, '') from outflow.outbox;"
    } else {
        ""
    };
    let until = format!("clock_timestamp() + interval '{} ms'", length.as_millis());
    let until = if ends { until.as_str() } else { "null" };
    run(
        stage,
        &format!(
            "begin; insert into outflow.pause (relation, stream, why, until, os_user, host) \
             select relation, '{stream}', 'a fault', {until}, 'faults', 'here' from outflow.outbox \
             on conflict (relation, stream) do update set until = excluded.until; {tell} commit"
        ),
    )
    .await;
    sleep(length).await;
    if !ends {
        let delete = format!("delete from outflow.pause where stream = '{stream}'");
        run(stage, &format!("begin; {delete}; {tell} commit")).await;
    }
    let what = if stream.is_empty() { "the outbox" } else { stream };
    format!("{what} for {length:?}, told: {is_told}, ends by itself: {ends}")
}

/// Postgres may be down meanwhile.
async fn run(stage: &Stage, statements: &str) {
    let done = eventually(LIMIT, statements, async || {
        let client = stage.client().await.ok()?;
        client.batch_execute(statements).await.ok()
    });
    done.await.expect("an answer");
}
