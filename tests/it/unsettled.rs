//! Rows that were appended, and that Postgres does not let go of when a recovery settles them: they
//! are not delivered again, and they stop nobody.

use outflow_local::eventually;

use crate::naming::{TABLE, appended_and_not_settled, stage};
use crate::support::LIMIT;

const RAISE: &str = "create function stay() returns trigger language plpgsql as \
    $$ begin if old.aggregate_id = 'stays' and old.event_type = 'first' then raise exception \
    'this one stays'; end if; \
    return old; end $$; ";
const SWALLOW: &str = "create function stay() returns trigger language plpgsql as \
    $$ begin return case when old.event_type <> 'first' then old end; end $$; ";
const BEFORE: &str =
    "create trigger stay before delete on mine for each row execute function stay()";
const AT_COMMIT: &str = "create constraint trigger stay after delete on mine deferrable \
    initially deferred \
    for each row execute function stay()";
const REFER: &str = "create table refers (id bigint references mine (id)); \
    insert into refers select id from mine where event_type = 'first'";

#[tokio::test]
async fn a_row_that_is_not_let_go_after_its_append_is_not_delivered_again_and_stops_nobody() {
    let refused = [RAISE, BEFORE].concat();
    let refused_late = [RAISE, AT_COMMIT].concat();
    let swallowed = [SWALLOW, BEFORE].concat();
    let drop_trigger = "drop trigger stay on mine";
    let cases = [
        (refused.as_str(), "this one stays", drop_trigger),
        (&refused_late, "this one stays", drop_trigger),
        (&swallowed, "a trigger keeps it", drop_trigger),
        (REFER, "refers_id_fkey", "drop table refers"),
    ];
    for (keep, words, let_go) in cases {
        let stage = stage(TABLE, "").await;
        let insert = "insert into mine (aggregate_id, event_type) values ('k', 'a'), ('stays', \
            'first'), ('k', 'b')";
        appended_and_not_settled(&stage, insert, 3).await;
        stage.sql(keep).await;
        stage
            .sql(
                "insert into mine (aggregate_id, event_type) values ('stays', 'second'), ('k', \
            'c')",
            )
            .await;
        // The second one finds it written down.
        for _ in 0..2 {
            let mut relay = stage.relay();
            let client = stage.client().await;
            let waiting = "select count(*) from mine";
            eventually(LIMIT, "the others to be settled", async || {
                client.query_one(waiting, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) == 1)
            })
            .await
            .unwrap_or_else(|error| panic!("{keep}: {error}: {}", relay.log_tail()));
            stage.ready(200).await;
            // The log is that of both.
            let told = relay.log().matches("refuses to delete a delivered event").count();
            assert_eq!(told, 1, "{keep}: {}", relay.log_tail());
            assert!(relay.log().contains(words), "{keep}: {}", relay.log_tail());
            relay.kill();
        }
        let (code, log) = stage.finished("once", &["run", "--once"]).await;
        assert_eq!(code, Some(1), "{keep}: a row is left: {log}");
        stage.sql(let_go).await;
        stage.once().await;
        assert_eq!(stage.number("select count(*) from mine").await, 0, "{keep}");
        let entries = stage.entries("events.order").await;
        let kinds: Vec<&str> = entries.iter().map(|entry| entry.field("type")).collect();
        assert_eq!(kinds, ["a", "first", "b", "second", "c"], "{keep}");
        assert_eq!(
            stage.number("select jsonb_array_length(unsettled) from outflow.outbox").await,
            0,
            "{keep}"
        );
    }
}

/// Somebody's lock is waited for by nobody else, and no recovery is needed when it is gone.
#[tokio::test]
async fn a_row_that_is_locked_after_its_append_is_settled_when_it_is_let_go() {
    let stage = stage(TABLE, "").await;
    appended_and_not_settled(&stage, "insert into mine (event_type) values ('a'), ('first')", 2)
        .await;
    let holder = stage.client().await;
    holder
        .batch_execute("begin; select from mine where event_type = 'first' for update")
        .await
        .expect("a lock");
    stage.sql("insert into mine (event_type) values ('b')").await;
    let relay = stage.relay();
    stage.reaches("events.order", 3).await;
    let generation = stage.number("select generation from outflow.outbox").await;
    holder.batch_execute("rollback").await.expect("its end");
    stage.emptied("public.mine").await;
    assert_eq!(
        stage.number("select generation from outflow.outbox").await,
        generation,
        "{}",
        relay.log_tail()
    );
    assert_eq!(stage.length("events.order").await, 3, "{}", relay.log_tail());
}
