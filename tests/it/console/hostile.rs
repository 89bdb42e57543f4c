//! Event data is hostile: in every field that an event, a consumer or a stream can fill, on every
//! page that shows it.

use super::{Browser, OPERATE, console};
use crate::support::{Stage, outbox};

/// Markup, quotes, direction marks, terminal escapes.
const EVIL: &str =
    "<script>alert(1)</script>'\"><img src=x onerror=a>\u{202e}\u{1b}[2J&amp;%2e\" onload=x";

fn encoded(text: &str) -> String {
    serde_urlencoded::to_string([("", text)]).expect("a text").split_off(1)
}

/// Fills with `evil` every field that an event, a consumer or a stream can fill. Returns the name
/// of the stream.
pub(super) async fn scene(stage: &Stage, evil: &str) -> String {
    let (stream, dead) = (format!("events.{evil}"), format!("events.{evil}.dead"));
    let all = ["id", "type", "key", "time", "payload", "headers", evil];
    let fields: Vec<&str> = all.iter().flat_map(|name| [*name, evil]).collect();
    stage.command("XADD", &[&[&stream, "1-0"], &fields[..]].concat()).await;
    let json = ["{\"<svg onload=a>\":\"\\\"<script>\"}"];
    stage.command("XADD", &[&[&stream, "2-0", "payload"], &json[..]].concat()).await;
    let bytes = "return redis.call('XADD', KEYS[1], '3-0', 'payload', '\\255\\0<script>', \
        '\\254<script>', 'x')";
    stage.command("EVAL", &[bytes, "1", &stream]).await;
    stage.command("XGROUP", &["CREATE", &stream, evil, "0"]).await;
    let read = ["GROUP", evil, evil, "COUNT", "2", "STREAMS", &stream, ">"];
    stage.command("XREADGROUP", &read).await;
    let letter =
        ["entry_id", "group", "attempts", "error", "at"].map(|name| format!("dead_{name}"));
    let letter = letter.iter().flat_map(|name| [name.as_str(), evil]);
    let letter: Vec<&str> = letter.chain(["dead_stream", &stream]).collect();
    stage.command("XADD", &[&[&dead, "9-0"], &fields[..], &letter[..]].concat()).await;
    let letter = "insert into outflow.dead_letter (outbox, \"row\", event_id, key, type, time, \
        payload, headers, stream, reason, detail, route, bytes, missing) values ($1, $1, $1, $1, \
        $1, $1, convert_to($1, 'utf8'), $1, $1, $1, $1, jsonb_build_object($1::text, $1::text), \
        jsonb_build_object('x', $1::text), array[$1])";
    let action = "insert into outflow.audit (action, outbox, letters, filter, os_user, host, via, \
        operator) values ($1::text, $1, 1, jsonb_build_object($1::text, $1::text), $1, $1, $1, $1)";
    for statement in [letter, action] {
        stage.client().await.execute(statement, &[&evil]).await.expect(statement);
    }
    stream
}

/// Every page that shows it, or is asked with it.
pub(super) fn pages(stream: &str, evil: &str) -> [String; 33] {
    let (name, evil) = (encoded(stream), encoded(evil));
    [
        "/streams".to_owned(),
        format!("/streams?part={evil}&sort={evil}"),
        format!("/streams/show?name={name}"),
        format!("/streams/show?name={name}&key={evil}&type={evil}&event={evil}"),
        format!("/streams/show?name={name}&since={evil}&until={evil}&before={evil}"),
        format!("/streams/show?name={evil}"),
        format!("/streams/entry?name={name}&id=1-0"),
        format!("/streams/entry?name={name}&id=3-0"),
        format!("/streams/entry?name={evil}&id={evil}"),
        format!("/streams/group?name={name}&group={evil}"),
        format!("/streams/group?name={name}&group={evil}x"),
        "/dead-letters".to_owned(),
        format!("/dead-letters?outbox={evil}&reason={evil}"),
        "/dead-letters/letters".to_owned(),
        format!(
            "/dead-letters/letters?outbox={evil}&reason={evil}&stream={evil}&type={evil}&key={evil}"
        ),
        format!("/dead-letters/letters?since={evil}"),
        "/dead-letters/letter?id=1".to_owned(),
        format!("/dead-letters/letter?id={evil}"),
        format!("/dead-letters/retry?outbox={evil}"),
        format!("/dead-letters/discard?key={evil}"),
        format!("/dead-letters/stream?name={name}"),
        format!("/dead-letters/stream/letters?name={name}"),
        format!("/dead-letters/stream/retry?name={name}&group={evil}"),
        format!(
            "/dead-letters/stream/discard?name={name}&exact=1&group={evil}&type={evil}\
             &reason={evil}"
        ),
        "/actions".to_owned(),
        format!("/actions/pause?outbox={evil}&stream={name}"),
        format!("/actions/resume?outbox={evil}&stream={name}"),
        format!("/actions/retry?outbox={evil}&stream={name}"),
        format!("/actions/replay?outbox={evil}"),
        format!("/actions/replay?outbox=orders&to={evil}&key={evil}&since={evil}"),
        format!("/actions/drop-group?name={name}&group={evil}"),
        format!("/jobs/show?id={evil}"),
        "/audit".to_owned(),
    ]
}

#[tokio::test]
async fn nothing_that_others_wrote_acts_on_any_page() {
    let stage = Stage::new(&outbox("")).await;
    let stream = scene(&stage, EVIL).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, OPERATE).await;
    for page in pages(&stream, EVIL) {
        let answer = browser.get(&page).await;
        assert_eq!(answer.status.as_u16(), 200, "{page}");
        answer.is_inert();
    }
    // It is all there, as text.
    let page = browser.get(&format!("/streams/show?name={}", encoded(&stream))).await;
    page.has(&[
        "&lt;script&gt;alert(1)",
        "hexadecimal digits",
        "\\u{202e}",
        ">1-0</a>",
        ">3-0</a>",
    ]);
    browser.get("/dead-letters/letter?id=1").await.has(&["&lt;script&gt;", "Missing", "Columns"]);
}

/// Links lead to what they name, whatever the name is.
#[tokio::test]
async fn names_with_every_character_can_be_followed_and_acted_on() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, OPERATE).await;
    for (number, name) in
        ["a b", "a/../b", "a?b#c", "a&b=c", "a+b%20", "\u{e4}\u{1f600}", "a\nb", "\"<"]
            .iter()
            .enumerate()
    {
        let stream = format!("events.{name}");
        stage.command("XADD", &[&stream, "1-0", "id", "e"]).await;
        stage.command("XGROUP", &["CREATE", &stream, name, "0"]).await;
        let list = browser.get(&format!("/streams?part={}", encoded(&stream))).await;
        list.has(&["1 to 1 of 1 streams."]);
        let (_, rest) = list.text.split_once("href=\"/streams/show?").expect("a link");
        let address = super::unescaped(rest.split('"').next().expect("an end"));
        let page = browser.get(&format!("/streams/show?{address}")).await;
        page.has(&["<dd>1</dd>", ">1-0</a>"]);
        let path = format!("/actions/drop-group?name={}&group={}", encoded(&stream), encoded(name));
        let done = browser.confirms(&path, &[]).await;
        done.has(&["Dropped group"]);
        let groups = stage.command("XINFO", &["GROUPS", &stream]).await;
        assert_eq!(groups.items().len(), 0, "{name:?}, number {number}");
    }
}
