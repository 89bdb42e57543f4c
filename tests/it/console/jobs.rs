//! Acts on many: how they end when they are stopped, when something fails, and at the end of the
//! process. Whatever has begun, the audit says how far it came.

use outflow_local::eventually;

use super::{Answer, Browser, OPERATE, Served, console};
use crate::support::{LIMIT, Stage, outbox};

const LETTERS: i64 = 20_000;
const RETRY: &str = "/dead-letters/retry";
const BEGUN: &str = "select letters from outflow.audit where action = 'retry dead letters'";
const LOCK: &str = "begin; lock table outbox in exclusive mode";

/// Many dead letters, and a console.
async fn scene() -> (Stage, Served) {
    let stage = Stage::new(&outbox("")).await;
    stage
        .sql(&format!(
            "insert into outflow.dead_letter (outbox, \"row\", event_id, key, type, time, payload, \
             stream, reason, route) select 'orders', n::text, gen_random_uuid()::text, 'k' || n, \
             'Made', '2026-01-01T00:00:00Z', convert_to('{{}}', 'utf8'), 'events.order', \
             'refused', '{{\"aggregate_type\": \"order\"}}' from generate_series(1, {LETTERS}) n"
        ))
        .await;
    let served = console(&stage, "").await;
    (stage, served)
}

/// Confirms a question, and is told what came of it, or where to look.
async fn confirm(browser: &Browser, path: &str) -> Answer {
    let (action, fields) = browser.get(path).await.form();
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post(&action, &fields).await
}

/// How the last act ended: `end` and the number.
async fn end(stage: &Stage, action: &str) -> (String, i64) {
    let row = stage.client().await;
    let asked = "select coalesce(filter ->> 'end', ''), letters from outflow.audit \
        where action = $1 and operator = 'anna' order by id desc limit 1";
    let row = row.query_one(asked, &[&action]).await.expect("a row of the end");
    (row.get(0), row.get(1))
}

async fn left(stage: &Stage) -> i64 {
    stage.number("select count(*) from outflow.dead_letter").await
}

/// Tells the console to end, and waits until it takes no more connections.
async fn stopping(served: &mut Served) {
    served.program.terminate();
    let port = served.port;
    let closed = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err();
    eventually(LIMIT, "the end of the listener", closed).await.expect("an end");
}

#[tokio::test]
async fn at_the_end_of_the_process_the_step_under_way_ends_and_is_noted() {
    let (stage, mut served) = scene().await;
    let browser = Browser::with(served.port, OPERATE).await;
    let holder = stage.client().await;
    holder.batch_execute(LOCK).await.expect("a lock");
    let answer = confirm(&browser, RETRY).await;
    assert!(answer.location().starts_with("/jobs/show?id="), "{answer:?}");
    assert_eq!(stage.number(BEGUN).await, LETTERS);
    stopping(&mut served).await;
    holder.batch_execute("commit").await.expect("an end");
    let ended = served.program.wait(LIMIT).await.expect("an end");
    assert_eq!(ended.code(), Some(0), "{}", served.program.log());
    let back = stage.number("select count(*) from outbox").await;
    assert_eq!(back, 1_000, "the step under way, and no other");
    assert_eq!(left(&stage).await, LETTERS - back);
    assert_eq!(end(&stage, "retry dead letters done").await, ("stopped".to_owned(), back));
    let log = served.program.log();
    assert!(!log.contains("were cut off"), "{log}");
}

#[tokio::test]
async fn a_step_that_does_not_end_is_cut_off_and_is_noted() {
    let (stage, mut served) = scene().await;
    let browser = Browser::with(served.port, OPERATE).await;
    let holder = stage.client().await;
    holder.batch_execute(LOCK).await.expect("a lock");
    confirm(&browser, RETRY).await;
    stopping(&mut served).await;
    let ended = served.program.wait(LIMIT).await.expect("an end");
    assert_eq!(ended.code(), Some(0), "{}", served.program.log());
    assert_eq!(end(&stage, "retry dead letters done").await, ("failed".to_owned(), 0));
    holder.batch_execute("rollback").await.expect("an end");
    let gone = async || {
        let busy = "select count(*) from pg_stat_activity where application_name like 'outflow%'";
        stage.number(busy).await == 0
    };
    eventually(LIMIT, "the end of its sessions", gone).await.expect("their end");
    assert_eq!(left(&stage).await, LETTERS);
    assert_eq!(stage.number("select count(*) from outbox").await, 0);
}

#[tokio::test]
async fn an_act_that_fails_after_it_was_noted_has_its_end_in_the_audit() {
    let (stage, served) = scene().await;
    let browser = Browser::with(served.port, OPERATE).await;
    // The letters go away between the note and the first step.
    stage
        .sql(
            "create function away() returns trigger language plpgsql as $$ begin \
             if new.action = 'discard dead letters' then \
             alter table outflow.dead_letter rename to away; end if; return new; end $$; \
             create trigger away after insert on outflow.audit for each row \
             execute function away()",
        )
        .await;
    let said = browser.confirms("/dead-letters/discard", &[]).await;
    said.has(&["0 discarded, then", "does not exist"]);
    assert_eq!(end(&stage, "discard dead letters done").await, ("failed".to_owned(), 0));
    // The same of consumers: the audit in Redis refuses.
    stage.command("XADD", &["events.order.dead", "1-0", "id", "e"]).await;
    stage.command("SET", &["events.order.dead.audit", "no stream"]).await;
    let discard = "/dead-letters/stream/discard?name=events.order";
    browser.confirms(discard, &[]).await.has(&["nothing was done: ", "WRONGTYPE"]);
    assert_eq!(stage.length("events.order.dead").await, 1);
    assert_eq!(end(&stage, "discard stream dead letters done").await, ("failed".to_owned(), 0));
    stage.command("DEL", &["events.order.dead.audit"]).await;
    browser.confirms(discard, &[]).await.has(&["1 dead letters were discarded."]);
    assert_eq!(end(&stage, "discard stream dead letters done").await, ("done".to_owned(), 1));
}
