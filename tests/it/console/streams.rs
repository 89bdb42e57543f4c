//! The pages of streams: all of them, one with its entries and groups, what is searched and found.

use std::fmt::Write as _;

use super::{Browser, OPERATE, READ, console};
use crate::support::{Numbered, Stage, outbox};

const STREAM: &str = "events.order";

/// 60 entries in one stream, which the group `slow` has begun to read.
async fn scene() -> Stage {
    let stage = Stage::new(&outbox("")).await;
    Numbered { rows: 60, keys: 7 }.insert(&stage).await;
    stage.once().await;
    stage.command("XGROUP", &["CREATE", STREAM, "slow", "0"]).await;
    let read = ["GROUP", "slow", "reader-1", "COUNT", "10", "STREAMS", STREAM, ">"];
    stage.command("XREADGROUP", &read).await;
    stage
}

/// The address of the first link whose text is this.
fn link(page: &str, text: &str) -> String {
    let (before, _) = page.split_once(&format!(">{text}</a>")).expect(text);
    let (_, address) = before.rsplit_once("href=\"").expect("an address");
    super::unescaped(address.split('"').next().expect("an end"))
}

#[tokio::test]
async fn a_stream_is_shown_with_its_figures_groups_and_entries() {
    let stage = scene().await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, READ).await;
    let list = browser.get("/streams").await;
    list.has(&["1 to 1 of 1 streams.", STREAM, "slow", "lag 50, pending 10, consumers 1"]);
    let stream = browser.get(&link(&list.text, STREAM)).await;
    stream.has(&["<dd>60</dd>", "slow", "&quot;n&quot;: 9,", "Older"]);
    stream.lacks(&["&quot;n&quot;: 1,", "Drop this group"]);
    // To the oldest and back again.
    let (mut page, mut seen) = (stream.text.clone(), Vec::new());
    loop {
        seen.extend(
            page.split("/streams/entry?")
                .skip(1)
                .map(|rest| rest.split('"').next().expect("an address").to_owned()),
        );
        if !page.contains(">Older</a>") {
            break;
        }
        page = browser.get(&link(&page, "Older")).await.text;
    }
    assert_eq!(seen.len(), 60);
    assert!(seen.iter().collect::<std::collections::BTreeSet<_>>().len() == 60, "each once");
    let newer = browser.get(&link(&page, "Newer")).await;
    newer.has(&[&seen[seen.len() - 11], "Newest"]);

    let group = browser.get(&link(&stream.text, "slow")).await;
    group.has(&["reader-1", "Pending entries", "<dt>Lag</dt>", "<dd>50</dd>", "<dd>10</dd>"]);
    let entry = browser.get(&format!("/streams/entry?{}", super::unescaped(&seen[0]))).await;
    entry.has(&["Appended", "payload", "&quot;n&quot;: 9,"]);
    browser.get("/streams/show?name=events.none").await.has(&["Redis has no such stream."]);
    browser.get("/streams/entry?name=events.order&id=x").await.has(&["expected an entry"]);
    browser.get("/streams/entry?name=events.order&id=1-1").await.has(&["no such entry"]);
}

#[tokio::test]
async fn entries_are_found_by_key_type_event_id_and_time() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, OPERATE).await;
    for (ms, id, kind, key) in
        [("1000", "e-1", "Made", "a"), ("2000", "e-2", "Sent", "a"), ("3000", "e-3", "Made", "b&c")]
    {
        let fields = ["id", id, "type", kind, "key", key, "payload", "{}"];
        let id = format!("{ms}-0");
        stage.command("XADD", &[&[STREAM, id.as_str()], &fields[..]].concat()).await;
    }
    let table = [
        ("key=a", "1000-0 2000-0"),
        ("key=b%26c", "3000-0"),
        ("type=Made", "1000-0 3000-0"),
        ("type=made", ""),
        ("event=e-2", "2000-0"),
        ("since=1970-01-01T00:00:02Z", "2000-0 3000-0"),
        ("until=1970-01-01T00:00:02Z", "1000-0"),
        ("since=1970-01-01T00:00:01Z&until=1970-01-01T00:00:03Z&key=a", "1000-0 2000-0"),
        ("since=1970-01-01T00:00:01Z&before=2000-0", "1000-0"),
        ("key=a&after=1000-0", "2000-0"),
    ];
    for (query, expected) in table {
        let page = browser.get(&format!("/streams/show?name={STREAM}&{query}")).await;
        let found: Vec<&str> = ["1000-0", "2000-0", "3000-0"]
            .into_iter()
            .filter(|id| page.text.contains(&format!(">{id}</a>")))
            .collect();
        assert_eq!(found.join(" "), expected, "{query}");
        page.has(&["entries that were looked at"]);
    }
    let wrong = browser.get(&format!("/streams/show?name={STREAM}&since=soon")).await;
    wrong.has(&["since", "90m"]);
}

/// What a page costs does not grow with what there is.
#[tokio::test]
async fn a_page_of_very_many_reads_few() {
    let stage = Stage::new(&outbox("")).await;
    // 100,000 entries, and 1,000 streams, made in Redis.
    let fill = "for i = 1, 100000 do redis.call('XADD', 'events.big', i .. '-0', 'id', 'e-' .. i, \
        'type', 'T', 'key', 'k', 'payload', '{}') end \
        for i = 1, 1000 do redis.call('XADD', string.format('events.s%04d', i), '1-0', 'k', 'v') \
        end return 1";
    stage.command("EVAL", &[fill, "0"]).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, READ).await;
    let list = browser.get("/streams").await;
    list.has(&["1 to 50 of 1\u{202f}001 streams.", "events.big", "Next"]);
    browser.get("/streams?sort=entries").await.has(&["events.big"]);
    let second = browser.get(&link(&list.text, "Next")).await;
    second.has(&["51 to 100 of", "events.s0060", "Previous"]);
    second.lacks(&["events.big"]);
    browser.get("/streams?part=s0777").await.has(&["1 to 1 of 1 streams.", "events.s0777"]);
    browser.get("/streams?part=nobody").await.has(&["No stream fits."]);

    stage.command("CONFIG", &["RESETSTAT"]).await;
    browser.get("/streams/show?name=events.big").await.has(&["100\u{202f}000", ">100000-0</a>"]);
    let stats = stage.command("INFO", &["commandstats"]).await.string().expect("a text");
    let calls = |command: &str| {
        let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
        line.and_then(|line| line.split(['=', ',']).nth(1)?.parse::<u64>().ok()).unwrap_or(0)
    };
    assert!((1..=8).contains(&calls("xrevrange")), "{stats}");

    // A search for what is not there stops, says how far it looked, and goes on from there.
    let mut path = "/streams/show?name=events.big&key=nobody".to_owned();
    let mut pages = 0;
    loop {
        let page = browser.get(&path).await;
        pages += 1;
        if page.text.contains("which are all in that direction") {
            break;
        }
        page.has(&["One search looks at no more: go on to older entries."]);
        path = link(&page.text, "Older");
    }
    assert!((2..=60).contains(&pages), "{pages}");
}

/// Large values are cut, and the size is said; a page of large entries shows fewer of them.
#[tokio::test]
async fn large_entries_are_cut() {
    let stage = Stage::new(&outbox("")).await;
    let fill = "local big = string.rep('x', 1024 * 1024) for i = 1, 60 do \
        redis.call('XADD', 'events.big', i .. '-0', 'id', 'e-' .. i, 'payload', big) end return 1";
    stage.command("EVAL", &[fill, "0"]).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, READ).await;
    let page = browser.get("/streams/show?name=events.big").await;
    page.has(&["the beginning of 1\u{202f}048\u{202f}576 bytes", ">60-0</a>", "Older"]);
    assert!(page.text.len() < 300_000, "{}", page.text.len());
    let entry = browser.get("/streams/entry?name=events.big&id=7-0").await;
    entry.has(&["the beginning of 1\u{202f}048\u{202f}576 bytes"]);
    assert!((200_000..400_000).contains(&entry.text.len()), "{}", entry.text.len());
}

/// Who may not see payloads sees which events there are, and nothing of what is in them.
#[tokio::test]
async fn payloads_are_hidden_from_who_may_only_look() {
    let stage = Stage::new(&outbox("")).await;
    let mut fields = String::new();
    for name in ["payload", "headers", "data", "value", "other"] {
        let _ = write!(fields, "{name} secret-{name} ");
    }
    let words: Vec<&str> = [STREAM, "1-0", "id", "e-1", "type", "Made", "key", "k-1"]
        .into_iter()
        .chain(fields.split_whitespace())
        .collect();
    stage.command("XADD", &words).await;
    let served = console(&stage, "payloads = \"operate\"").await;
    let (anna, ben) =
        (Browser::with(served.port, OPERATE).await, Browser::with(served.port, READ).await);
    for path in ["/streams/show?name=events.order", "/streams/entry?name=events.order&id=1-0"] {
        anna.get(path).await.has(&["secret-payload", "secret-other", "e-1"]);
        let page = ben.get(path).await;
        page.has(&["e-1", "Made", "k-1", "hidden from your role"]);
        page.lacks(&["secret"]);
    }
    // Nor is a search answered differently by what is hidden.
    for query in ["key=secret-payload", "event=secret-payload", "type=secret-data"] {
        let page = ben.get(&format!("/streams/show?name={STREAM}&{query}")).await;
        page.has(&["0 found in 1"]);
    }
}
