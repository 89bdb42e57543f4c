//! What writers do with ids that a relay must not be misled by.

use std::time::{Duration, Instant};

use fastrand::Rng;
use outflow_local::eventually;
use tokio_postgres::Client;
use uuid::Uuid;

use super::kept::left;
use super::stage::{LIMIT, Stage};
use super::writers::LOCK;

/// Farther than the writers come while a member is frozen.
const FAR: i64 = 1_000_000;
const COLUMNS: &str = "event_id, aggregate_type, aggregate_id, event_type, payload";
const NOTE: &str = "insert into ledger values ($1, $2, 'order', $3)";
/// A key of its own, whose only event has an id that is `$2` ahead. A later one's would be lower.
const AHEAD: &str = "with noted as (insert into ledger values (gen_random_uuid(), $1, 'order', 1) \
    returning *) \
    insert into outbox (id, event_id, aggregate_type, aggregate_id, event_type, payload) \
    overriding system value \
    select (select last_value from outbox_id_seq) + $2, event_id, kind, key, 'Counted', \
    jsonb_build_object('n', n) from noted";

/// Events whose ids are older than their transactions' numbers and than most that is written
/// meanwhile. That the servers fail at other hands is no matter: whatever was committed, the tables
/// know.
pub(crate) async fn late(stage: &Stage, length: Duration, rng: &mut Rng) -> String {
    let allocates = rng.bool();
    let begun = Instant::now();
    let mut done = 0;
    while begun.elapsed() < length {
        let Ok(mut client) = stage.client().await else { continue };
        // Ids of an earlier statement need a column that takes them.
        if generated(&client, if allocates { "by default" } else { "always" }).await.is_err() {
            continue;
        }
        // A key of its own: nobody else writes it, so that nothing must be locked, which would take
        // a number.
        let (key, mut n) = (format!("late-{}", rng.u64(..)), 0);
        while begun.elapsed() < length {
            // Else a later event of the key might have a lower id.
            let _not_set_back = stage.sequence.lock().await;
            n += 1;
            if write(&mut client, &key, n, allocates, rng).await.is_err() {
                break;
            }
            done += 1;
        }
    }
    if let Ok(client) = stage.client().await {
        let _ = generated(&client, "always").await;
    }
    format!("{done} {} for {length:?}", if allocates { "with allocated ids" } else { "slow ones" })
}

async fn generated(client: &Client, when: &str) -> Result<(), tokio_postgres::Error> {
    let alter =
        format!("set lock_timeout = '5s'; alter table outbox alter column id set generated {when}");
    client.batch_execute(&alter).await
}

/// Every other event takes its time between its id and its row.
async fn write(
    client: &mut Client,
    key: &str,
    n: i64,
    allocates: bool,
    rng: &mut Rng,
) -> Result<(), tokio_postgres::Error> {
    let (event, slow) = (Uuid::from_u128(rng.u128(..)), n % 2 == 1);
    let seconds = if slow { f64::from(rng.u32(50..400)) / 1_000.0 } else { 0.0 };
    let values = "values ($1, 'order', $2, 'Counted', jsonb_build_object('n', $3::bigint, \
        'slept', pg_sleep($4)::text))";
    let transaction = client.transaction().await?;
    if allocates {
        let id: i64 = transaction.query_one("select nextval('outbox_id_seq')", &[]).await?.get(0);
        let values = values.replace("values (", &format!("values ({id}, "));
        transaction
            .execute(
                &format!("insert into outbox (id, {COLUMNS}) {values}"),
                &[&event, &key, &n, &seconds],
            )
            .await?;
    } else {
        transaction
            .execute(
                &format!("insert into outbox ({COLUMNS}) {values}"),
                &[&event, &key, &n, &seconds],
            )
            .await?;
    }
    transaction.execute(NOTE, &[&event, &key, &n]).await?;
    transaction.commit().await
}

/// The sequence jumps forward or back, or one id is far ahead of it.
pub(crate) async fn jump(stage: &Stage, rng: &mut Rng) -> String {
    let jumped = jumped(stage, rng).await;
    jumped.unwrap_or_else(|error| format!("not done: {error}"))
}

async fn jumped(stage: &Stage, rng: &mut Rng) -> Result<String, tokio_postgres::Error> {
    let mut client = stage.client().await?;
    let last: i64 = client.query_one("select last_value from outbox_id_seq", &[]).await?.get(0);
    let (set, by) = ("select setval('outbox_id_seq', $1)", rng.i64(1..FAR));
    match rng.u32(0..3) {
        0 => {
            let key = format!("ahead-{}", rng.u64(..));
            client.execute(AHEAD, &[&key, &rng.i64(100..50_000)]).await?;
            Ok("one id far ahead".to_owned())
        }
        1 if last > 2 * FAR => {
            // And the outbox that is seen to be empty is the one that it is.
            let (_no_ddl, _no_late_id) = (stage.ddl.lock().await, stage.sequence.lock().await);
            // What waits would be overtaken by its ids alone: nobody writes, and all is delivered.
            let all: Vec<String> = client
                .query("select key from counter", &[])
                .await?
                .iter()
                .map(|row| row.get(0))
                .collect();
            let transaction = client.transaction().await?;
            transaction.execute(LOCK, &[&all]).await?;
            let empty = async || left(stage).await == Some(0);
            if eventually(LIMIT, "an empty outbox", empty).await.is_err() {
                return Ok("nothing: events are waiting".to_owned());
            }
            let (from, to) = (last - FAR - by, last - by);
            // Rows that stay have their ids for good.
            let taken = "select exists (select from outbox where id > $1 and id <= $2)";
            if transaction.query_one(taken, &[&from, &to]).await?.get(0) {
                return Ok("nothing: the ids are taken".to_owned());
            }
            transaction.execute(set, &[&from]).await?;
            transaction.commit().await?;
            Ok(format!("back by {}", FAR + by))
        }
        _ => {
            client.execute(set, &[&(last + FAR + by)]).await?;
            Ok(format!("forward by {}", FAR + by))
        }
    }
}
