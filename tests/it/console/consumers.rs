//! Dead letters of consumers: grouped by error, group and type, retried and discarded.

use super::{Browser, OPERATE, READ, console};
use crate::support::{Stage, outbox};

const STREAM: &str = "events.order";
const DEAD: &str = "events.order.dead";

/// Five letters: `HTTP 1` to `HTTP 3` of `mail`, a panic of `mail`, and one of `stock` without a
/// type.
async fn scene() -> Stage {
    let stage = Stage::new(&outbox("")).await;
    stage.command("XADD", &[STREAM, "1-0", "id", "e-0"]).await;
    let letters = [
        ("mail", "Made", "HTTP 1: unavailable"),
        ("mail", "Made", "HTTP 2: unavailable"),
        ("mail", "Made", "HTTP 3: unavailable"),
        ("mail", "Made", "it panicked"),
        ("stock", "", "no field \"type\""),
    ];
    for (n, (group, kind, error)) in (1..).zip(letters) {
        let (id, event, attempts) = (format!("{n}-0"), format!("e-{n}"), n.to_string());
        let mut words = vec![DEAD, &id, "id", &event, "key", "k", "payload", "{\"secret\":1}"];
        if !kind.is_empty() {
            words.extend(["type", kind]);
        }
        words.extend([
            "dead_stream",
            STREAM,
            "dead_entry_id",
            "1-0",
            "dead_group",
            group,
            "dead_attempts",
            &attempts,
            "dead_error",
            error,
            "dead_at",
            "2026-01-01T00:00:00Z",
        ]);
        stage.command("XADD", &words).await;
    }
    stage
}

/// The page's link to an act on a group, by a word of its address.
fn link(page: &str, act: &str, word: &str) -> String {
    let links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let start = format!("/dead-letters/stream/{act}?");
    let mut links = links.filter(|link| link.starts_with(&start) && link.contains(word));
    super::unescaped(links.next().expect("a link"))
}

#[tokio::test]
async fn they_are_grouped_shown_retried_and_discarded() {
    let stage = scene().await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, OPERATE).await;
    browser.get("/dead-letters").await.has(&["Streams with dead letters", STREAM, "<td>5</td>"]);
    let page = browser.get("/dead-letters/stream?name=events.order").await;
    page.has(&["5 dead letters in", "HTTP #: unavailable", "it panicked", "up to 3", "stock"]);
    let listed = browser.get(&link(&page.text, "letters", "HTTP")).await;
    listed.has(&["HTTP 1: unavailable", "HTTP 3: unavailable", "secret", "was entry"]);
    listed.lacks(&["it panicked"]);

    let asked = browser.get(&link(&page.text, "retry", "HTTP")).await;
    asked.has(&["Retry 3 dead letters?", "error: HTTP #: unavailable", "group: mail"]);
    assert_eq!(stage.length(DEAD).await, 5, "nothing is done by asking");
    let done = browser.confirms(&link(&page.text, "retry", "HTTP"), &[]).await;
    done.has(&["3 dead letters were retried.", "2 dead letters in"]);
    assert_eq!((stage.length(DEAD).await, stage.length(STREAM).await), (2, 4));
    let entries = stage.entries(STREAM).await;
    let ids: Vec<&str> = entries.iter().map(|entry| entry.field("id")).collect();
    assert_eq!(ids, ["e-0", "e-1", "e-2", "e-3"], "in their order");
    assert!(!entries[1].names().contains("dead_"), "{entries:?}");

    // That of a group without a type is that group, and no other.
    let done = browser.confirms(&link(&page.text, "discard", "stock"), &[]).await;
    done.has(&["1 dead letters were discarded."]);
    let one = browser.get("/dead-letters/stream/letters?name=events.order").await;
    let done = browser.confirms(&link(&one.text, "discard", "id=4-0"), &[]).await;
    done.has(&["1 dead letters were discarded.", "This stream has no dead letters."]);

    // Both audits, before and after.
    let noted = "select count(*) from outflow.audit where via = 'console' and operator = 'anna' \
        and outbox = 'orders' and filter @> '{\"stream\": \"events.order\"}'";
    assert_eq!(stage.number(noted).await, 6);
    let first = "select letters from outflow.audit order by id limit 1";
    assert_eq!(stage.number(first).await, 3);
    assert_eq!(stage.length("events.order.dead.audit").await, 6);
    browser
        .get("/audit")
        .await
        .has(&["retry stream dead letters", "discard stream dead letters done"]);
}

/// A letter that is no longer whole, or of unknown origin, stays, and it is said.
#[tokio::test]
async fn what_cannot_be_retried_stays() {
    let stage = Stage::new(&outbox("")).await;
    stage.command("XADD", &[DEAD, "1-0", "id", "e"]).await;
    let cut = ["id", "e", "dead_stream", STREAM, "dead_values_left_out", "10"];
    stage.command("XADD", &[&[DEAD, "2-0"], &cut[..]].concat()).await;
    stage.command("XADD", &[STREAM, "1-0", "id", "e"]).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, OPERATE).await;
    let done = browser.confirms("/dead-letters/stream/retry?name=events.order", &[]).await;
    done.has(&["0 dead letters were retried. 2 were not"]);
    assert_eq!(stage.length(DEAD).await, 2);
}

/// Very many: grouped are the newest, and the act goes over all of them beside the requests.
#[tokio::test]
async fn very_many_are_looked_at_in_part_and_acted_on_in_whole() {
    let stage = Stage::new(&outbox("")).await;
    stage.command("XADD", &[STREAM, "1-0", "id", "e"]).await;
    let fill = "for i = 1, 60000 do redis.call('XADD', KEYS[1], i .. '-0', 'id', 'e-' .. i, \
        'type', 'T', 'payload', '{}', 'dead_stream', KEYS[2], \
        'dead_group', i % 2 == 0 and 'even' or 'odd', \
        'dead_error', 'HTTP ' .. i, 'dead_attempts', '3') end return 1";
    stage.command("EVAL", &[fill, "2", DEAD, STREAM]).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, OPERATE).await;
    let page = browser.get("/dead-letters/stream?name=events.order").await;
    page.has(&["60\u{202f}000 dead letters in", "Grouped are the newest", "HTTP #"]);
    let path = link(&page.text, "discard", "group=even");
    browser.get(&path).await.has(&["Permanently delete 30\u{202f}000 dead letters?"]);
    browser.confirms(&path, &[]).await;
    let redis = stage.redis_client();
    let gone = async || {
        let length = redis.call("XLEN", [DEAD].into()).await;
        length.is_ok_and(|length| length.int() == Some(30_000))
    };
    outflow_local::eventually(crate::support::LIMIT, "the even ones to go", gone)
        .await
        .expect("gone");
    let odd = stage.command("XRANGE", &[DEAD, "-", "+", "COUNT", "2"]).await;
    let ids: Vec<_> = odd.items().iter().filter_map(|entry| entry.items()[0].string()).collect();
    assert_eq!(ids, ["1-0", "3-0"]);
}

#[tokio::test]
async fn payloads_are_hidden_and_either_database_may_be_down() {
    let mut stage = scene().await;
    let served = console(&stage, "payloads = \"operate\"").await;
    let (anna, ben) =
        (Browser::with(served.port, OPERATE).await, Browser::with(served.port, READ).await);
    let path = "/dead-letters/stream/letters?name=events.order";
    anna.get(path).await.has(&["secret"]);
    let page = ben.get(path).await;
    page.has(&["hidden from your role"]);
    page.lacks(&["secret", "Retry", "it panicked"]);

    // Postgres away: the letters in Redis are shown, and nothing is done without a trace.
    stage.postgres.stop_immediate().await.expect("an end");
    ben.sees("/dead-letters", &["Postgres cannot be reached", "Streams with dead letters"]).await;
    ben.get("/streams").await.has(&[STREAM]);
    anna.get("/actions").await.has(&["Postgres cannot be reached"]);
    let done = anna.confirms("/dead-letters/stream/discard?name=events.order", &[]).await;
    done.has(&["Postgres"]);
    assert_eq!(stage.length(DEAD).await, 5);
    stage.postgres.start_again().await.expect("Postgres");
    // Redis away: those in Postgres are shown.
    stage.redis.kill().await.expect("an end");
    ben.sees("/dead-letters", &["Redis cannot be reached", "There are no dead letters."]).await;
    for path in ["/streams", "/streams/show?name=x", "/streams/group?name=x&group=y"] {
        ben.get(path).await.has(&["Redis cannot be reached"]);
    }
}
