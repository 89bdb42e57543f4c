//! `outflow dead`: what is kept of an event that could not be appended, and its way back.

use outflow_local::eventually;

use crate::support::{Asked, Entry, LIMIT, Stage, outbox};

const SMALL: &str = "event_bytes_max = \"300B\"";
const ROOMY: &str = "event_bytes_max = \"1MiB\"";

/// Too large for `SMALL`; `n` counts for its key.
fn large(kind: &str, key: &str, n: i64) -> String {
    format!(
        "insert into outbox (aggregate_type, aggregate_id, event_type, payload, headers, \
            created_at) values ('{kind}', '{key}', \
         'Large', jsonb_build_object('key', '{key}', 'n', {n}, 'pad', repeat('x', 400)), \
         '{{\"trace\": \"{n}\"}}', '2026-01-0{n}T00:00:00Z');"
    )
}

/// Five dead letters in `orders`: a 1, b 1, a 2, a 3 are too large, the last has no stream.
async fn stage() -> Stage {
    let stage = Stage::new(&outbox(SMALL)).await;
    let nowhere = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
        ('', 'c', 'T', '{}');";
    let events = [
        large("order", "a", 1),
        large("bill", "b", 1),
        large("order", "a", 2),
        large("order", "a", 3),
    ];
    stage.sql(&format!("{}{nowhere}", events.concat())).await;
    stage.once().await;
    assert_eq!(stage.number("select count(*) from outflow.dead_letter").await, 5);
    stage
}

async fn dead(stage: &Stage, args: &[&str]) -> Asked {
    let args: Vec<&str> = ["dead"].iter().chain(args).copied().collect();
    stage.asked(&args).await
}

#[tokio::test]
async fn filters_show_what_they_say() {
    let stage = stage().await;
    let table: [(&[&str], &[i64]); 16] = [
        (&[], &[1, 2, 3, 4, 5]),
        (&["--outbox", "orders"], &[1, 2, 3, 4, 5]),
        (&["--outbox", "others"], &[]),
        (&["--reason", "no_stream"], &[5]),
        (&["--stream", "events.order"], &[1, 3, 4]),
        (&["--stream", "events.order", "--limit", "2"], &[1, 3]),
        (&["--since", "1h"], &[1, 2, 3, 4, 5]),
        (&["--since", "2099-01-01T00:00:00Z"], &[]),
        (&["--since", "2001-01-01T00:00:00Z", "--reason", "too_large"], &[1, 2, 3, 4]),
        (&["--limit", "1"], &[1]),
        (&["--type", "Large"], &[1, 2, 3, 4]),
        (&["--type", "large"], &[]),
        (&["--key", "b"], &[2]),
        (&["--key", "a", "--type", "Large", "--stream", "events.order"], &[1, 3, 4]),
        (&["--until", "2001-01-01T00:00:00Z"], &[]),
        (&["--since", "1h", "--until", "2099-01-01T00:00:00Z", "--key", "c"], &[5]),
    ];
    for (filters, expected) in table {
        let args: Vec<&str> = ["list", "--json"].iter().chain(filters).copied().collect();
        let letters = dead(&stage, &args).await.json();
        let ids: Vec<i64> =
            letters.iter().map(|letter| letter["id"].as_i64().expect("a number")).collect();
        assert_eq!(ids, expected, "{filters:?}");
    }
    let text = dead(&stage, &["list"]).await.data();
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(
        text.contains("too_large") && text.contains("events.bill") && text.starts_with("ID"),
        "{text}"
    );
    let wrong = dead(&stage, &["list", "--since", "soon"]).await;
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("90m"), "{}", wrong.stderr);
}

#[tokio::test]
async fn show_has_everything_that_was_kept() {
    let stage = stage().await;
    let letters = dead(&stage, &["show", "3", "--json"]).await.json();
    let letter = &letters[0];
    let payload: serde_json::Value =
        serde_json::from_str(letter["payload"].as_str().expect("a text")).expect("JSON");
    assert_eq!((letters.len(), payload["n"].as_i64()), (1, Some(2)));
    assert_eq!(letter["route"], serde_json::json!({"aggregate_type": "order"}));
    assert_eq!(letter["headers"], "{\"trace\": \"2\"}");
    assert_eq!(letter["time"], "2026-01-02T00:00:00Z");
    let text = dead(&stage, &["show", "1", "5"]).await.data();
    assert!(
        text.contains("too_large") && text.contains("no_stream") && text.contains("xxxx"),
        "{text}"
    );
    let wrong = dead(&stage, &["show", "1", "77"]).await;
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("77") && wrong.stderr.contains("dead list"), "{}", wrong.stderr);
}

/// A slip of the pen must not look like good news, nor like a choice.
#[tokio::test]
async fn what_would_choose_nothing_or_everything_is_refused() {
    let stage = stage().await;
    for args in [
        &["list", "--reason", "too_big"][..],
        &["retry", "--yes", "--reason", "NoStream"],
        &["discard", "--reason", ""],
    ] {
        let wrong = dead(&stage, args).await;
        assert_ne!(wrong.code, Some(0), "{args:?}");
        for known in ["no_stream", "refused", "too_large"] {
            assert!(wrong.stderr.contains(known), "{}", wrong.stderr);
        }
    }
    for args in [&["discard", "--yes"][..], &["discard", "--yes", "--limit", "3"]] {
        let wrong = dead(&stage, args).await;
        assert_ne!(wrong.code, Some(0), "{args:?}");
        assert!(
            wrong.stderr.contains("--all") && wrong.stderr.contains("nothing was done"),
            "{}",
            wrong.stderr
        );
    }
    assert_eq!(stage.number("select count(*) from outflow.dead_letter").await, 5);
    assert_eq!(stage.number("select count(*) from outflow.audit").await, 0);
    // One that only another version writes is known as soon as it is there.
    stage.sql("update outflow.dead_letter set reason = 'of_tomorrow' where id = 5").await;
    assert_eq!(
        dead(&stage, &["discard", "--yes", "--reason", "of_tomorrow"]).await.data(),
        "1 discarded\n"
    );
    assert_eq!(
        dead(&stage, &["discard", "--yes", "--all", "--dry-run"]).await.data(),
        "4 would be discarded\n"
    );
    assert_eq!(dead(&stage, &["discard", "--yes", "--all"]).await.data(), "4 discarded\n");
}

/// Who, when, how many, by which filter: written with what is done, or nothing is done.
#[tokio::test]
async fn whoever_acts_leaves_a_trace() {
    let stage = stage().await;
    let audit = async || {
        let text = "select coalesce(string_agg(concat_ws(' ', action, outbox, letters, filter, \
            role), '; ' order by id), '') from outflow.audit";
        stage.client().await.query_one(text, &[]).await.expect("a text").get::<_, String>(0)
    };
    dead(&stage, &["retry", "--yes", "--key", "b", "--dry-run"]).await.data();
    dead(&stage, &["retry", "--yes", "--key", "nobody"]).await.data();
    assert_eq!(audit().await, "", "nothing was done");
    dead(&stage, &["retry", "--yes", "--key", "b", "--type", "Large"]).await.data();
    dead(&stage, &["discard", "--yes", "1", "5"]).await.data();
    assert_eq!(
        audit().await,
        "retry dead letters orders 1 {\"key\": \"b\", \"type\": \"Large\"} postgres; \
         discard dead letters orders 2 {\"ids\": [1, 5]} postgres"
    );
    let told = "select count(*) from outflow.audit where os_user <> '' and host <> '' and \
        client_address is not null \
                and at between now() - interval '1 hour' and clock_timestamp()";
    assert_eq!(stage.number(told).await, 2);
    // A role that may do it and may not say so.
    stage
        .sql(
            "create role silent login; grant usage on schema outflow to silent; \
             grant select, delete on outflow.dead_letter to silent",
        )
        .await;
    let url = stage.postgres.url().replace("postgres@", "silent@");
    let refused = stage
        .asked_with(&["dead", "discard", "--yes", "3"], &[("OUTFLOW_POSTGRES__URL", &url)])
        .await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("grant insert (action, "), "{}", refused.stderr);
    assert_eq!(stage.number("select count(*) from outflow.dead_letter where id = 3").await, 1);
}

/// One line with counts, a gauge of those that lie there.
#[tokio::test]
async fn what_dies_is_told_and_counted() {
    let stage = Stage::new(&outbox(SMALL)).await;
    let relay = stage.relay();
    stage.ready(200).await;
    let rows = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
                select 'order', 'k' || i, 'T', to_jsonb(repeat('x', 400)) from generate_series(1, \
                3000) i";
    let nowhere = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
                   select '', 'k' || i, 'T', '{}' from generate_series(1, 7) i";
    stage.sql(&format!("{rows};{nowhere}")).await;
    stage.drained().await;
    let lines = || {
        let log = relay.log();
        let lines = log.lines().filter(|line| line.contains("dead-lettered events"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let told =
        |words: &[&str]| lines().iter().any(|line| words.iter().all(|word| line.contains(word)));
    let words = ["WARN", "orders", "too_large (events.order)"];
    eventually(LIMIT, "a line", async || told(&words)).await.expect("a line");
    eventually(LIMIT, "the gauge", async || {
        stage.metrics().await.contains("outflow_dead_letters{outbox=\"orders\"} 3007\n")
    })
    .await
    .expect("3007");
    eventually(LIMIT, "all of them", async || {
        let counts = lines();
        let counts = counts.iter().filter_map(|line| {
            line.split("\"events\":").nth(1)?.split([',', '}']).next()?.parse::<u64>().ok()
        });
        counts.sum::<u64>() == 3_007
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {:?}", lines()));
    assert!(lines().len() <= 3, "{:?}", lines());
    dead(&stage, &["discard", "--yes", "--all"]).await.data();
    eventually(LIMIT, "the gauge to fall", async || {
        stage.metrics().await.contains("outflow_dead_letters{outbox=\"orders\"} 0\n")
    })
    .await
    .expect("0");
}

/// Nothing happens without a yes, nor in a dry run.
#[tokio::test]
async fn nothing_is_done_unasked() {
    let stage = stage().await;
    for verb in ["retry", "discard"] {
        let refused = dead(&stage, &[verb]).await;
        assert_eq!(refused.code, Some(1), "{verb}");
        assert!(
            refused.stderr.contains("--yes") && refused.stderr.contains("4 × too_large"),
            "{}",
            refused.stderr
        );
        let dry =
            dead(&stage, &[verb, "--dry-run", "--json", "--reason", "too_large"]).await.data();
        assert!(dry.starts_with("{\"would_be_") && dry.trim_end().ends_with(":4}"), "{dry}");
        let unknown = dead(&stage, &[verb, "--yes", "1", "99"]).await;
        assert_eq!(unknown.code, Some(1), "{verb}");
    }
    assert_eq!(stage.number("select count(*) from outflow.dead_letter").await, 5);
    assert_eq!(stage.number("select count(*) from outbox").await, 0);
}

#[tokio::test]
async fn retry_puts_the_same_events_back_in_order() {
    let stage = stage().await;
    let ids = "select string_agg(event_id, ',' order by id) from outflow.dead_letter where reason \
        = 'too_large'";
    let before: String = stage.client().await.query_one(ids, &[]).await.expect("ids").get(0);
    let last = stage.number("select last_value from outbox_id_seq").await;
    assert_eq!(
        dead(&stage, &["retry", "--yes", "--reason", "too_large"]).await.data(),
        "4 retried\n"
    );
    assert_eq!(stage.number("select count(*) from outflow.dead_letter").await, 1);
    assert_eq!(stage.number("select min(id) from outbox").await, last + 1, "under new numbers");
    let after = "select string_agg(event_id::text, ',' order by id) from outbox";
    let after: String = stage.client().await.query_one(after, &[]).await.expect("ids").get(0);
    assert_eq!(after, before, "the same events in the same order");
    stage.configure(&outbox(ROOMY));
    stage.once().await;
    let entries = stage.entries("events.order").await;
    let seen: Vec<String> = entries.iter().map(told).collect();
    assert_eq!(
        seen,
        [
            "a 1 Large 2026-01-01T00:00:00Z",
            "a 2 Large 2026-01-02T00:00:00Z",
            "a 3 Large 2026-01-03T00:00:00Z"
        ]
    );
    assert_eq!(stage.length("events.bill").await, 1);
    assert_eq!(
        dead(&stage, &["discard", "--yes", "5", "--json"]).await.data(),
        "{\"discarded\":1}\n"
    );
    assert_eq!(stage.number("select count(*) from outflow.dead_letter").await, 0);
}

fn told(entry: &Entry) -> String {
    let headers: serde_json::Value = serde_json::from_str(entry.field("headers")).expect("headers");
    let trace = headers["trace"].as_str().expect("a trace");
    format!("{} {trace} {} {}", entry.field("key"), entry.field("type"), entry.field("time"))
}

/// Of several that retry at once, one gets each letter.
#[tokio::test]
async fn retrying_twice_at_once_puts_back_once() {
    let stage = stage().await;
    let retry = || dead(&stage, &["retry", "--yes", "--json", "--reason", "too_large"]);
    let answers = tokio::join!(retry(), retry(), retry());
    let counts = [answers.0, answers.1, answers.2]
        .map(|answer| answer.json()[0]["retried"].as_i64().expect("a count"));
    assert_eq!(counts.iter().sum::<i64>(), 4, "{counts:?}");
    assert_eq!(stage.number("select count(*) from outbox").await, 4);
}

/// Somebody else's table: a uuid as primary key and event id, an order column, several columns in
/// the stream's name, bytes as payload, a column that is not kept but has a default.
#[tokio::test]
async fn foreign_tables_get_their_columns_back() {
    let columns = "[outbox.columns]\nid = \"id\"\norder = \"position\"\nevent_id = \"id\"\nkey = \
        \"aggregateid\"\n\
                   type = \"type\"\npayload = \"payload\"\nheaders = \"\"\ntime = \"at\"";
    let mapped = |limit: &str| {
        outbox(&format!("{limit}\n{columns}"))
            .replace("public.outbox", "app.\\\"Events\\\"")
            .replace("{aggregate_type}", "{tenant}.{aggregatetype}.{shard}")
    };
    let stage = Stage::bare(&mapped(SMALL)).await;
    stage
        .sql(
            "create schema app; create type kind as enum ('order', 'bill'); \
             create table app.\"Events\" (id uuid primary key, position bigserial, tenant \
             varchar(9) not null, \
               aggregatetype kind not null, shard smallint not null, aggregateid bigint, type \
               text not null, payload bytea, \
               at timestamp not null, note text not null default 'none')",
        )
        .await;
    stage.migrate().await;
    let insert = "insert into app.\"Events\" (id, tenant, aggregatetype, shard, aggregateid, \
        type, payload, at, note) \
                  values (gen_random_uuid(), 'it''s', 'order', 3, 42, 'T', decode(repeat('00ff', \
                  200), 'hex'), '2026-02-03 04:05:06.7', 'mine')";
    stage.sql(insert).await;
    let content = "select row(id, tenant, aggregatetype, shard, aggregateid, type, payload, \
        at)::text from app.\"Events\"";
    let before: String = stage.client().await.query_one(content, &[]).await.expect("a row").get(0);
    stage.once().await;
    assert_eq!(stage.number("select count(*) from app.\"Events\"").await, 0);
    let shown = dead(&stage, &["show", "1", "--json"]).await.json();
    assert!(
        shown[0]["payload_hex"].as_str().is_some_and(|digits| digits.starts_with("00ff")),
        "{shown:?}"
    );
    assert_eq!(dead(&stage, &["retry", "--yes"]).await.data(), "1 retried\n");
    let after: String = stage.client().await.query_one(content, &[]).await.expect("a row").get(0);
    assert_eq!(after, before);
    assert_eq!(stage.number("select position from app.\"Events\" where note = 'none'").await, 2);
    stage.configure(&mapped(ROOMY));
    stage.once().await;
    assert_eq!(stage.length("events.it's.order.3").await, 1);
}

/// What keeps a letter from going back is named with its remedy, and nothing is half done.
#[tokio::test]
async fn what_stands_in_the_way_is_named() {
    let stage = stage().await;
    let as_poor = |text: &str| text.replace("postgres://postgres@", "postgres://poor@");
    let retry = async |url: &str| {
        let refused =
            stage.asked_with(&["dead", "retry", "--yes"], &[("OUTFLOW_POSTGRES__URL", url)]).await;
        assert!(refused.stdout.is_empty(), "{}", refused.stdout);
        (refused.code, refused.stderr)
    };
    let owner = stage.postgres.url();
    let steps = [
        ("create role poor login", as_poor(&owner), 1, "permission denied for schema outflow"),
        (
            "grant usage on schema outflow to poor; grant select, delete on outflow.dead_letter \
                to poor",
            as_poor(&owner),
            1,
            "grant insert (\"event_id\", \"payload\"",
        ),
        ("alter table outbox add column tenant text not null", owner.clone(), 1, "\"tenant\""),
        (
            "alter table outbox drop column tenant; update outflow.dead_letter set outbox = \
                'gone' where id = 5",
            owner.clone(),
            78,
            "\"gone\" is not in this configuration",
        ),
        (
            "update outflow.dead_letter set outbox = 'orders', route = null where id = 5",
            owner.clone(),
            1,
            "dead letters keep the mapped columns",
        ),
        ("alter table outflow.dead_letter drop column route", owner.clone(), 1, "outflow migrate"),
    ];
    for (change, url, code, words) in &steps {
        stage.sql(change).await;
        let (exit, message) = retry(url).await;
        assert_eq!(exit, Some(*code), "{message}");
        assert!(message.contains(words), "{message:?} has no {words:?}");
    }
    assert_eq!(stage.number("select count(*) from outbox").await, 0, "nothing is half done");
    // A relay that would write to an older schema says so at its start, and migrate brings it up to
    // date.
    let (code, log) = stage.finished("old", &["run", "--once"]).await;
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("older version"), "{log}");
    stage.migrate().await;
    assert_eq!(
        stage.number("select max(version) from outflow.migration").await,
        i64::from(outflow::operate::migrate::VERSION)
    );
    stage.once().await;
}

/// What an attacker writes acts on nobody's terminal: every command that shows some of it.
#[tokio::test]
async fn what_an_attacker_wrote_is_shown_and_not_done() {
    let stage = Stage::new(&outbox(SMALL)).await;
    let evil = "E'\\x1b[2J\\x1b]0;owned\\x07\\u009b31m\\u202egpj.exe\\u200b\\r\\nfake  \
        2026-01-01T00:00:00Z  row'";
    let wide = "rpad(' ', 900, 'w')";
    let row = |aggregate: &str, kind: &str, pad: &str| {
        format!(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload, headers)
             values ('{aggregate}', {evil}, {kind}, jsonb_build_object('evil', {evil}, 'pad', \
             {pad}), '{{}}');"
        )
    };
    let rows =
        [row("order", evil, wide), row("", evil, "''"), row("order", "rpad('x', 9000, 'x')", "''")];
    stage.sql(&rows.concat()).await;
    // A stream and a group of anybody's.
    let group = "\x1b[2Jgroup\nfake".to_owned();
    stage.run_in_redis("XGROUP", &["CREATE", "events.order", &group, "0", "MKSTREAM"]).await;
    stage.once().await;

    let acts = |character: char| {
        character.is_control() && character != '\n'
            || matches!(character, '\u{200b}' | '\u{202e}' | '\u{2028}')
    };
    let commands: [&[&str]; 6] = [
        &["dead", "list"],
        &["dead", "list", "--json"],
        &["dead", "show", "1", "2", "3"],
        &["dead", "show", "--json", "1", "2"],
        &["status"],
        &["status", "--json"],
    ];
    for args in commands {
        let asked = stage.asked(args).await;
        let (text, said) = (asked.stdout.clone(), asked.stderr.clone());
        assert!(
            !text.is_empty() && !text.chars().any(acts) && !said.chars().any(acts),
            "{args:?}: {text:?} {said:?}"
        );
        assert!(!text.lines().any(|line| line.starts_with("fake")), "{args:?}: {text}");
        if args.contains(&"--json") {
            text.lines().for_each(|line| {
                drop(serde_json::from_str::<serde_json::Value>(line).expect(line));
            });
        }
    }
    let list = stage.asked(&["dead", "list"]).await.stdout;
    assert!(
        list.lines().count() == 4 && list.lines().all(|line| line.chars().count() < 1_000),
        "{list}"
    );
}

/// Bytes are no text: whatever they are, a retry puts back what was there. So it does for every
/// other type.
#[tokio::test]
async fn a_retry_puts_back_the_same_values_of_every_type() {
    let tables = [
        (
            "event_id bytea not null, key bytea, type bytea not null, headers text, route text",
            r#"'\xff00fe', '\x00ff41', '\xfffe7b7d', '{"h": "1"}', 'order'"#,
        ),
        (
            "event_id uuid not null, key char(7), type kind not null, headers json, route text",
            "gen_random_uuid(), 'abc', 'bill', '{\"a\":  1}', 'order'",
        ),
        (
            "event_id numeric not null, key timestamptz, type varchar(9) not null, headers jsonb, \
                route kind",
            "12.50, '2026-01-02 03:04:05.678901+00', 'it''s', '{\"a\": 1}', 'order'",
        ),
        (
            "event_id varchar(40) not null, key short, type name not null, headers text, route \
                integer",
            "'10.0.0.1', 'dom', 'n', '{\"t\":1}', 7",
        ),
    ];
    let columns = "[outbox.columns]\nid = \"id\"\norder = \"id\"\nevent_id = \"event_id\"\nkey = \
        \"key\"\ntype = \"type\"\n\
                   payload = \"payload\"\nheaders = \"headers\"\ntime = \"\"";
    let config = outbox(&format!("event_bytes_max = \"64B\"\n{columns}"))
        .replace("{aggregate_type}", "{route}");
    let stage = Stage::bare(&config).await;
    for (declared, values) in tables {
        stage
            .sql(&format!(
                "drop table if exists outbox cascade; drop type if exists kind cascade; drop \
                    domain if exists short cascade; \
                 create type kind as enum ('order', 'bill'); create domain short as varchar(5); \
                 create table outbox (id bigserial primary key, {declared}, payload bytea)"
            ))
            .await;
        stage.sql("drop schema if exists outflow cascade").await;
        stage.migrate().await;
        stage
            .sql(&format!(
                "insert into outbox (event_id, key, type, headers, route, payload) \
                 values ({values}, decode(repeat('00ff', 100), 'hex'))"
            ))
            .await;
        let content =
            "select row(event_id, key, type, headers::text, route, payload)::text from outbox";
        let before: String =
            stage.client().await.query_one(content, &[]).await.expect("a row").get(0);
        stage.once().await;
        assert_eq!(stage.number("select count(*) from outbox").await, 0, "{declared}");
        let shown = dead(&stage, &["show", "1", "--json"]).await.json();
        if declared.contains("key bytea") {
            assert_eq!(shown[0]["bytes"]["key"], "00ff41", "{shown:?}");
            assert_eq!(shown[0]["bytes"]["type"], "fffe7b7d", "{shown:?}");
        }
        assert_eq!(dead(&stage, &["retry", "--yes"]).await.data(), "1 retried\n", "{declared}");
        let after: String =
            stage.client().await.query_one(content, &[]).await.expect("a row").get(0);
        assert_eq!(after, before, "{declared}");
    }
}
