//! A search for the next events that takes longer than the sessions' `statement_timeout`, in both
//! modes, and what is said of it.

use std::time::Duration;

use outflow::relay::kept::table::lacking_indexes;
use outflow::relay::options::Settle;
use outflow_local::eventually;

use super::{kept_as, mended};
use crate::support::{Numbered, Stage, outbox};

/// Twice the usual limit, and time to start.
const LONG: Duration = Duration::from_mins(3);
/// From here on the type of an event is read only when the table `hold` is empty.
const SLOW: &str = "create table hold (); insert into hold default values; \
    create type kind as enum ('Counted'); \
    alter table outbox alter column event_type type kind using event_type::kind; \
    create function held(kind) returns text language plpgsql as $$ begin \
      while exists (select from public.hold) loop perform pg_sleep(0.05); end loop; \
      return 'Counted'; end $$; \
    create cast (kind as text) with function held(kind);";

async fn gets_on(outboxes: &str) -> String {
    let stage = Stage::new(outboxes).await;
    let numbered = Numbered { rows: 500, keys: 7 };
    stage.sql(SLOW).await;
    // The type is not converted here.
    let insert = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
        select 'order', 'k' || i % 7, 'Counted', \
        jsonb_build_object('key', 'k' || i % 7, 'n', i / 7 + 1) from generate_series(0, 499) i";
    stage.sql(insert).await;
    let relay = stage.relay();
    let client = stage.client().await;
    // With the usual limit no statement gets so old, however often it is tried.
    let old = "select count(*) from pg_stat_activity where state = 'active' \
        and wait_event = 'PgSleep' and clock_timestamp() - query_start > '33 seconds'";
    let is_old = eventually(LONG, "a search that may take longer", async || {
        client.query_one(old, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) > 0)
    });
    is_old.await.unwrap_or_else(|error| panic!("{error}: {}", relay.log_tail()));
    stage.sql("delete from hold").await;
    stage.reaches("events.order", 500).await;
    numbered.check(&stage, "events.order").await;
    let log = relay.log();
    drop(relay);
    log
}

fn told(log: &str) -> &str {
    let line = log.lines().find(|line| line.contains("took too long")).expect("it is told");
    for words in ["\"orders\"", "\"limit\":\"30 s\"", "\"next_limit\":\"60 s\""] {
        assert!(line.contains(words), "{words}: {line}");
    }
    line
}

#[tokio::test]
async fn a_search_that_was_ended_gets_more_time_the_next_time() {
    let (keeping, deleting) = (kept_as("plain", ""), outbox(""));
    let (kept, other) = tokio::join!(gets_on(&keeping), gets_on(&deleting));
    assert!(told(&kept).contains("no index is missing"), "{}", told(&kept));
    assert!(told(&other).contains("outflow check"), "{}", told(&other));
}

#[tokio::test]
async fn the_index_that_is_missing_is_named() {
    for layout in super::LAYOUTS {
        let stage = Stage::new(&kept_as(layout, "")).await;
        let source = outflow::config::Source { file: Some(stage.path().join("outflow.toml")) };
        let config = outflow::config::load(&source).expect("a configuration");
        let outbox = &config.outboxes[0];
        let Settle::Keep(keep) = &outbox.settle else { panic!("it is kept") };
        let client = stage.client().await;
        let oid = client.query_one("select 'outbox'::regclass::oid", &[]).await.expect("a row");
        let lacking =
            async || lacking_indexes(&client, outbox, keep, oid.get(0)).await.expect("an answer");
        assert_eq!(lacking().await, Vec::<String>::new());
        let index = "select indexrelid::regclass::text from pg_index \
            where indrelid = 'outbox'::regclass and indkey[0] = (select attnum \
            from pg_attribute where attrelid = 'outbox'::regclass and attname = 'xid')";
        let index: String = client.query_one(index, &[]).await.expect("an index").get(0);
        stage.sql(&format!("drop index {index}")).await;
        let lacks = lacking().await;
        assert_eq!(lacks.len(), 1, "{lacks:?}");
        assert!(lacks[0].ends_with("(\"xid\", \"id\");"), "{lacks:?}");
        mended(&stage).await;
        assert_eq!(lacking().await, Vec::<String>::new());
    }
}
