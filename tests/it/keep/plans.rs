//! How Postgres carries out the reads of a kept table: never by a scan of the whole table, by the
//! index of the order column above the hint and by the one of the transactions below it. The plans
//! are those that the relay's own sessions used, from the server's log.

use super::{LAYOUTS, journal_key, kept_as, pieces};
use crate::support::{LIMIT, Stage};
use outflow_connect::redis::Reply;
use outflow_local::Program;

const ROWS: i64 = 300_000;

/// From now on the server logs the plan of every statement of new sessions.
const LOGGED: [&str; 4] = [
    "load 'auto_explain'",
    "alter system set session_preload_libraries = 'auto_explain'",
    "alter system set auto_explain.log_min_duration = 0",
    "select pg_reload_conf()",
];

/// The plans of reads that were logged since `from`, and where the log ends.
fn reads(stage: &Stage, from: usize) -> (Vec<String>, usize) {
    let log = stage.postgres.log();
    let entries = log[from..].split("\n2");
    let read = entries.filter(|entry| entry.contains("Query Text: with seen as materialized"));
    (read.map(str::to_owned).collect(), log.len())
}

/// Asserts what holds for each plan.
fn are_good(plans: &[String], what: &str) {
    assert!(!plans.is_empty(), "{what}: no plan was logged");
    for plan in plans {
        let (_, plan) = plan.split_once("with ties)\n").unwrap_or(("", plan));
        assert!(!plan.contains("Seq Scan on outbox"), "{what}: {plan}");
        assert!(!plan.contains("Bitmap"), "{what}: {plan}");
        // Neither is an index walked from end to end, nor up to the hint, also where a partition
        // was empty when the plan was made.
        let lines: Vec<&str> = plan.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0].contains(" on outbox")) {
            let bounded = pair[1].starts_with("Index Cond:")
                && !pair[1].starts_with("Index Cond: ((id > $3)");
            assert!(bounded, "{what}: {}: {plan}", pair[0]);
        }
        // It was made for any position.
        assert!(plan.contains("GREATEST($3, $4)"), "{what}: {plan}");
        let conditions: Vec<&str> =
            plan.lines().map(str::trim).filter(|line| line.starts_with("Index Cond:")).collect();
        let has = |parts: &[&str]| {
            conditions.iter().any(|line| parts.iter().all(|part| line.contains(part)))
        };
        assert!(has(&["(id > GREATEST($3, $4))"]), "{what}, above the hint: {plan}");
        assert!(has(&["xid >= ", "xid < ", "id > $3", "id <= $4"]), "{what}, late: {plan}");
        assert!(
            has(&["ROW(xid, id) > ROW(x.x, $3)", "ROW(xid, id) <= ROW(x.x, $4)"]),
            "{what}, ended: {plan}"
        );
        assert!(
            has(&["(kept = ", "(xid = "]) && !plan.contains("dead_letter_outbox_died_at"),
            "{what}, letters: {plan}"
        );
        assert!(has(&["(xid = pick.x)", "(id = pick.o)"]), "{what}, whole rows: {plan}");
    }
}

/// Waits until the relay has ended; its plans are in the log then.
async fn ends(mut relay: Program) {
    relay.terminate();
    relay.wait(LIMIT).await.expect("an end");
}

#[tokio::test]
async fn no_read_scans_the_table() {
    // Rows of a transaction. Statistics of one that wrote all rows make its number seem to say
    // nothing.
    for (layout, rows) in LAYOUTS.into_iter().flat_map(|one| [(one, 1_000), (one, ROWS)]) {
        let stage = Stage::new(&kept_as(layout, "batch_rows = 500")).await;
        stage
            .sql(&format!(
                "do $$ begin for part in 1..{ROWS} / {rows} loop \
                   insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
                   select 'order', 'k' || i, 'T', '{{}}' from generate_series(1, {rows}) i; \
                   commit; \
                 end loop; end $$"
            ))
            .await;
        stage.sql("analyze outbox").await;
        let client = stage.client().await;
        for statement in LOGGED {
            client.batch_execute(statement).await.expect(statement);
        }

        // The first read, and those within its target.
        let (_, start) = reads(&stage, 0);
        let relay = stage.relay();
        stage.reaches("events.order", 3_000).await;
        ends(relay).await;
        let (plans, start) = reads(&stage, start);
        assert!(plans.len() > 4, "{layout}: {}", plans.len());
        are_good(&plans, "a backlog");

        // Caught up, but for transactions that were open then.
        let late = stage.client().await;
        let row = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
                   values ('late', 'l', 'T', '{}')";
        late.batch_execute(&format!("begin; {row}")).await.expect("a row");
        stage.sql(row).await;
        let key = journal_key(&stage).await;
        let here = stage.client().await.query_one("select pg_current_snapshot()::text", &[]).await;
        let here: String = here.expect("a snapshot").get(0);
        let kept = stage.command("HKEYS", &[&key]).await;
        let fields: Vec<String> = kept.items().iter().filter_map(Reply::string).collect();
        for field in fields.iter().filter(|field| field.starts_with("kept:")) {
            stage.command("HSET", &[&key, field, &format!("-1|{here}|||{}|", ROWS + 2)]).await;
        }
        let relay = stage.relay();
        stage.ready(200).await;
        for _ in 0..50 {
            stage.sql(&row.replace("'late'", "'new'")).await;
        }
        stage.reaches("events.new", 50).await;
        late.batch_execute("commit").await.expect("a commit");
        stage.reaches("events.late", 1).await;
        ends(relay).await;
        let (plans, _) = reads(&stage, start);
        are_good(&plans, "caught up");
    }
}

/// One id that somebody made up has no effect. Many of them would be walked by each read.
#[tokio::test]
async fn the_hint_passes_ids_above_the_sequence_only_if_they_are_many() {
    for (made_up, expected) in [(1, 1 + 1), (2_000, 1_000_000 + 2_000)] {
        let stage = Stage::new(&kept_as("plain", "")).await;
        let columns = "aggregate_type, aggregate_id, event_type, payload";
        let row = format!("insert into outbox ({columns}) values ('order', 'k', 'T', '{{}}')");
        stage.sql(&row).await;
        stage
            .sql(&format!(
                "insert into outbox (id, {columns}) overriding system value \
                 select 1000000 + i, 'order', 'k', 'T', '{{}}' from generate_series(1, {made_up}) i"
            ))
            .await;
        stage.once().await;
        stage.sql(&row).await;
        stage.once().await;
        assert_eq!(stage.length("events.order").await, made_up + 2);
        let at = pieces(&stage).await;
        let hint = at[0].split('|').nth(4).expect("a hint");
        assert_eq!(hint, expected.to_string(), "{made_up}: {at:?}");
    }
}
