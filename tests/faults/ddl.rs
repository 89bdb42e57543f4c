//! What is done to the table while the members drain it, and undone.

use std::time::Duration;

use fastrand::Rng;
use outflow_local::eventually;
use tokio::time::sleep;

use super::stage::{LIMIT, Stage};

/// Whoever waits for a lock has everybody else wait behind it.
const LOCK_TIMEOUT: &str = "set lock_timeout = '5s'";
const COLUMNS: &str =
    "event_id, aggregate_type, aggregate_id, event_type, payload, headers, created_at";

/// What is done, and how it is undone.
pub(crate) struct Change {
    there: String,
    back: String,
}

impl Change {
    pub(crate) fn new(there: &str, back: &str) -> Self {
        Self { there: there.to_owned(), back: back.to_owned() }
    }

    /// A column is of another type for a while, and every row is written anew, twice.
    fn of_type(column: &str, from: &str, to: &str, back: &str) -> Self {
        Self::new(
            &format!("alter table outbox alter {column} type {to}"),
            &format!("alter table outbox alter {column} type {from} using {back}"),
        )
    }

    fn drawn(keeps: bool, rng: &mut Rng) -> Self {
        match rng.u32(0..9) {
            0 => Self::of_type("payload", "jsonb", "json", "payload::jsonb"),
            1 => Self::of_type("payload", "jsonb", "text", "payload::jsonb"),
            2 => Self::of_type("created_at", "timestamptz", "timestamp", "created_at"),
            3 => Self::of_type("aggregate_id", "text", "varchar(200)", "aggregate_id"),
            4 => Self::new(
                "alter table outbox rename payload to body",
                "alter table outbox rename body to payload",
            ),
            5 => {
                Self::new("alter table outbox rename to away", "alter table away rename to outbox")
            }
            6 => Self::new(
                "alter table outbox add note text default 'all rows anew' || random()",
                "alter table outbox drop note",
            ),
            7 => Self::new(
                "begin; alter table outbox rename to outbox_old; create table outbox (like \
                    outbox_old including all); commit",
                // What was written meanwhile comes behind what waits.
                &format!(
                    "begin; lock table outbox, outbox_old in access exclusive mode; \
                     insert into outbox_old ({COLUMNS}) select {COLUMNS} from outbox order by id; \
                     drop table outbox; alter table outbox_old rename to outbox; commit"
                ),
            ),
            _ => Self::with_a_child(&format!("child-{}", rng.u64(..)), keeps),
        }
    }

    /// A child comes, with the events of a key of its own.
    fn with_a_child(key: &str, keeps: bool) -> Self {
        let there = format!(
            "begin; create table outbox_child (like outbox including all); \
             with made as materialized (select gen_random_uuid() as event_id, n from \
             generate_series(1, 100) n), \
             counted as (insert into counter (key, kind, n) values ('{key}', 'order', 100)), \
             noted as (insert into ledger (event_id, key, kind, n) select event_id, '{key}', \
             'order', n from made) \
             insert into outbox_child (id, event_id, aggregate_type, aggregate_id, event_type, \
             payload) overriding system value \
             select nextval('outbox_id_seq'), event_id, 'order', '{key}', 'Counted', \
             jsonb_build_object('n', n) \
             from (select * from made order by n) as made; \
             alter table outbox_child inherit outbox; commit"
        );
        // With their ids, and the transactions of those that stay: a member may have appended some.
        let columns = if keeps { format!("xid, {COLUMNS}") } else { COLUMNS.to_owned() };
        let back = format!(
            "begin; lock table outbox, outbox_child in access exclusive mode; \
             insert into outbox (id, {columns}) overriding system value select id, {columns} from \
             outbox_child; \
             drop table outbox_child; commit"
        );
        Self { there, back }
    }
}

/// One change at a time. The way back is tried until the servers let it be done.
pub(crate) async fn change(stage: &Stage, length: Duration, rng: &mut Rng) -> String {
    let _no_other_change = stage.ddl.lock().await;
    if rng.u32(0..6) == 0 {
        // Every row gets another place.
        let done = run(stage, "vacuum full outbox").await;
        return done
            .map_or_else(|error| format!("not done: {error}"), |()| "vacuum full".to_owned());
    }
    run_for(stage, Change::drawn(stage.layout().is_some(), rng), length).await
}

/// Nothing else may be altered meanwhile.
pub(crate) async fn run_for(stage: &Stage, change: Change, length: Duration) -> String {
    let Change { there, back } = change;
    let done = run(stage, &there).await;
    if done.is_ok() {
        sleep(length).await;
    }
    // Also after an error, which may have come behind the commit.
    eventually(LIMIT, &back, async || is_undone(run(stage, &back).await))
        .await
        .expect("the way back");
    let what: String = there.chars().take(60).collect();
    done.map_or_else(|error| format!("not done: {error}"), |()| format!("{what}… for {length:?}"))
}

/// What is not there was undone already, or never done.
fn is_undone(outcome: Result<(), tokio_postgres::Error>) -> bool {
    outcome.err().is_none_or(|error| error.code().is_some_and(|code| code.code().starts_with("42")))
}

async fn run(stage: &Stage, statements: &str) -> Result<(), tokio_postgres::Error> {
    let client = stage.client().await?;
    client.batch_execute(LOCK_TIMEOUT).await?;
    client.batch_execute(statements).await
}
