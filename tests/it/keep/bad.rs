//! A row that the server cannot hand out, among others: it alone goes to the dead letters.

use outflow_local::eventually;

use super::{LAYOUTS, kept_as};
use crate::support::{LIMIT, Stage, check_numbered};

const BAD: [i64; 5] = [1, 20, 21, 90, 120];

fn row(key: &str, payload: &str) -> String {
    format!(
        "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
         values ('order', '{key}', 'T', {payload})"
    )
}

/// What is refused while a batch is read says nothing of its first row, nor of the row in front.
/// Some rows have lost their TOAST, so that they cannot be printed.
#[tokio::test]
async fn its_neighbors_are_delivered_in_order() {
    for layout in LAYOUTS {
        let settings = "batch_rows = 50\npoll_interval = \"50ms\"";
        let stage = Stage::new(&kept_as(layout, settings)).await;
        stage.sql("alter table outbox alter column payload type jsonb").await;
        stage.sql("alter table outbox alter column payload set storage external").await;
        for n in 1..=120 {
            stage.sql(&row("k", &format!("jsonb_build_object('key', 'k', 'n', {n})"))).await;
            if BAD.contains(&n) {
                stage.sql(&row(&format!("bad-{n}"), "to_jsonb(repeat('x', 9000))")).await;
            }
        }
        stage
            .sql(
                "set allow_system_table_mods = on; \
                 do $$ declare toast regclass; begin \
                   for toast in select reltoastrelid from pg_class \
                       where relname like 'outbox%' and reltoastrelid <> 0 loop \
                     update pg_class set relkind = 'r' where oid = toast; \
                     execute format('delete from %s', toast); \
                     update pg_class set relkind = 't' where oid = toast; \
                   end loop; end $$",
            )
            .await;
        stage.sql("vacuum outbox").await;
        let mut relay = stage.relay();
        stage.reaches("events.order", 120).await;
        let letters = "select count(*) from outflow.dead_letter where pending is null \
                       and reason = 'unreadable' and key like 'bad-%'";
        let found = async || stage.number(letters).await == 5;
        eventually(LIMIT, "the letters to count", found).await.expect("letters");
        relay.terminate();
        relay.wait(LIMIT).await.expect("an end");
        assert_eq!(stage.number("select count(*) from outflow.dead_letter").await, 5);
        let counted = check_numbered(&stage.entries("events.order").await);
        assert_eq!(counted.into_iter().collect::<Vec<_>>(), [("k".to_owned(), 120)], "{layout}");
        assert!(relay.log().contains("missing chunk number 0"), "{}", relay.log_tail());
    }
}
