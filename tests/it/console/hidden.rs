//! With `payloads = "operate"` the role `read` sees nothing that may quote an event: no payload, no
//! header, no words of a server or a consumer on it; and cannot search by them.

use super::{Browser, OPERATE, READ, console};
use crate::support::{Stage, outbox};

const STREAM: &str = "events.order";
const DEAD: &str = "00000000-0000-4000-8000-000000000001";
const SENT: &str = "00000000-0000-4000-8000-000000000002";
/// In everything that quotes an event.
const SECRET: &str = "Mr-Miller";

/// A dead letter of the relay, an entry, and its dead letter of a consumer.
async fn scene() -> Stage {
    let stage = Stage::new(&outbox("")).await;
    stage
        .sql(&format!(
            "insert into outflow.dead_letter (outbox, \"row\", event_id, key, type, time, payload, \
             headers, stream, reason, detail, route, documents) values ('orders', '1', \
             '{DEAD}', 'k', 'Made', '2026-01-01T00:00:00Z', convert_to('{SECRET}', 'utf8'), \
             '{SECRET}', '{STREAM}', 'refused', 'cannot read {SECRET}', '{{\"x\": \"{SECRET}\"}}', \
             '{{\"payload\": \"{SECRET}\"}}')"
        ))
        .await;
    let entry = ["id", SENT, "type", "Made", "payload", SECRET, "headers", SECRET, "x", SECRET];
    stage.command("XADD", &[&[STREAM, "1-0"], &entry[..]].concat()).await;
    let error = format!("no {SECRET} with number 7");
    let dead = [
        "dead_stream",
        STREAM,
        "dead_entry_id",
        "1-0",
        "dead_group",
        "mail",
        "dead_attempts",
        "3",
        "dead_error",
        &error,
        "dead_at",
        "2026-01-01T00:00:00Z",
    ];
    stage.command("XADD", &[&["events.order.dead", "2-0"], &entry[..], &dead[..]].concat()).await;
    stage.command("XGROUP", &["CREATE", STREAM, "mail", "$"]).await;
    stage
}

#[tokio::test]
async fn nothing_that_may_quote_an_event_is_shown_to_the_role_read() {
    let stage = scene().await;
    let served = console(&stage, "payloads = \"operate\"").await;
    let (anna, ben) =
        (Browser::with(served.port, OPERATE).await, Browser::with(served.port, READ).await);
    // Which leaves a trace that quotes an error, in both audits.
    let reason = "reason=no%20Mr-Miller%20with%20number%20%23";
    let act = format!("/dead-letters/stream/retry?name={STREAM}&{reason}&group=none");
    anna.confirms(&act, &[]).await;
    let find = |id: &str| format!("/find?text={id}");
    let pages: [(&str, bool); 16] = [
        ("/dead-letters/letter?id=1", true),
        ("/dead-letters/letters", false),
        ("/dead-letters", false),
        ("/dead-letters/stream?name=events.order", true),
        ("/dead-letters/stream/letters?name=events.order", true),
        ("/dead-letters/stream/letters?name=events.order&exact=1&group=mail&type=Made", false),
        ("/streams/show?name=events.order", true),
        ("/streams/entry?name=events.order&id=1-0", true),
        ("/streams/show?name=events.order.dead", true),
        ("/streams/entry?name=events.order.dead&id=2-0", true),
        ("/streams/show?name=events.order.dead.audit", false),
        (&find(DEAD), true),
        (&find(SENT), true),
        ("/audit", true),
        ("/", false),
        ("/actions", false),
    ];
    for (page, quotes) in pages {
        if quotes {
            anna.get(page).await.has(&[SECRET]);
        }
        let seen = ben.get(page).await;
        assert_eq!(seen.status.as_u16(), 200, "{page}");
        assert!(!seen.text.contains(SECRET) && !seen.text.contains("Miller"), "{page}: {seen:?}");
    }
    ben.get("/dead-letters/letter?id=1").await.has(&["hidden from your role: it may quote"]);
    let groups = ben.get("/dead-letters/stream?name=events.order").await;
    groups.has(&["Errors may quote events, which are hidden from your role.", "mail", "(hidden)"]);
    // A link to a group leads to it.
    let (_, rest) = groups.text.split_once("href=\"/dead-letters/stream/letters?name=").expect("a");
    let (_, rest) = rest.split_once("href=\"/dead-letters/stream/letters?name=").expect("a link");
    let rest = super::unescaped(rest.split('"').next().expect("an end"));
    let letters = ben.get(&format!("/dead-letters/stream/letters?name={rest}")).await;
    letters.has(&[">mail<", "2-0"]);
    // What a search by errors finds would tell what is in them.
    for page in ["letters", "retry", "discard"] {
        let path = format!("/dead-letters/stream/{page}?name={STREAM}&{reason}");
        ben.get(&path).await.has(&["your role may not select by errors"]);
        let exact = format!("{path}&exact=1");
        ben.get(&exact).await.has(&["your role may not select by errors"]);
        anna.get(&path).await.lacks(&["may not select"]);
    }
}
