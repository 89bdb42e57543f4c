//! Rows that nobody can deliver, each between two others of its key that must not notice.

use std::time::Duration;

use fastrand::Rng;

use super::ddl::{Change, run_for};
use super::stage::Stage;

/// Some bytes which not even the server can print: more than 1 GB.
const UNPRINTABLE: &str = "(select jsonb_agg(1e131000::numeric) from generate_series(1, 8300))";
const HUGE: &str = "to_jsonb(repeat(md5(random()::text), 500000))";
const STAYS: &str = "create function stays() returns trigger language plpgsql as $$ begin \
    if old.event_type = 'Stays' then raise exception 'this one stays'; end if; return old; end \
    $$; ";
const PLAIN: &str =
    "create trigger stays before delete on outbox for each row execute function stays()";
const DEFERRED: &str = "create constraint trigger stays after delete on outbox deferrable \
    initially deferred for each row execute function stays()";

/// A row that can never be delivered, or one whose delete is refused for a while.
pub(crate) async fn write(stage: &Stage, length: Duration, rng: &mut Rng) -> String {
    let key = format!("poison-{}", rng.u64(..));
    match rng.u32(0..6) {
        0 => {
            insert(stage, "unprintable", &events(&key, "'unreadable'", "'Counted'", UNPRINTABLE))
                .await
        }
        1 => insert(stage, "huge", &events(&key, "'too_large'", "'Counted'", HUGE)).await,
        sort => {
            let _no_other_change = stage.ddl.lock().await;
            let trigger = if sort % 2 == 0 { PLAIN } else { DEFERRED };
            let there = format!(
                "begin; {STAYS}{trigger}; {}; commit",
                events(&key, "null", "'Stays'", "jsonb_build_object('n', 2)")
            );
            run_for(stage, Change::new(&there, "drop function stays() cascade"), length).await
        }
    }
}

/// Three events of a key of their own, of which the second is not like others.
fn events(key: &str, due: &str, kind: &str, payload: &str) -> String {
    format!(
        "with counted as (insert into counter (key, kind, n) values ('{key}', 'order', 3)), \
         made as materialized (select gen_random_uuid() as event_id, n, n = 2 as is_bad from \
         generate_series(1, 3) n), \
         noted as (insert into ledger (event_id, key, kind, n, due) \
           select event_id, '{key}', 'order', n, case when is_bad then {due} end from made) \
         insert into outbox (event_id, aggregate_type, aggregate_id, event_type, payload) \
         select event_id, 'order', '{key}', case when is_bad then {kind} else 'Counted' end, \
           case when is_bad then {payload} else jsonb_build_object('n', n) end \
         from (select * from made order by n) as made"
    )
}

async fn insert(stage: &Stage, what: &str, statement: &str) -> String {
    let inserted = async { stage.client().await?.batch_execute(statement).await };
    inserted
        .await
        .map_or_else(|error| format!("not done: {error}"), |()| format!("a row that is {what}"))
}
