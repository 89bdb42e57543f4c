//! Events that can never be appended, and streams that refuse: the rest goes on, and nothing is
//! lost.

use outflow_local::eventually;

use crate::support::{LIMIT, Stage, check_numbered, outbox};

fn insert(kind: &str, key: &str, n: i64) -> String {
    format!(
        "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
         values ('{kind}', '{key}', 'T', jsonb_build_object('key', '{key}', 'n', {n}));"
    )
}

#[tokio::test]
async fn dead_letters_have_their_reason_and_the_rest_goes_on() {
    let stage = Stage::new(&outbox("event_bytes_max = \"500B\"")).await;
    let large = "insert into outbox (aggregate_type, aggregate_id, event_type, payload, headers) \
                 values ('order', 'large', 'T', to_jsonb(repeat('x', 600)), '{\"h\": \"1\"}');";
    stage
        .sql(
            &[&insert("order", "a", 1), large, &insert("", "nowhere", 1), &insert("order", "a", 2)]
                .map(String::from)
                .concat(),
        )
        .await;
    stage.once().await;
    stage.drained().await;
    check_numbered(&stage.entries("events.order").await);
    assert_eq!(stage.length("events.order").await, 2);
    let client = stage.client().await;
    let rows = client
        .query(
            "select outbox, key, reason, coalesce(stream, '-'), length(payload)::bigint, \
                coalesce(headers, '-') from outflow.dead_letter order by id",
            &[],
        )
        .await
        .expect("dead letters");
    let dead: Vec<(String, String, String, String, i64, String)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5)))
        .collect();
    let letter = |key: &str, reason: &str, stream: &str, bytes: i64, headers: &str| {
        (
            "orders".to_owned(),
            key.to_owned(),
            reason.to_owned(),
            stream.to_owned(),
            bytes,
            headers.to_owned(),
        )
    };
    let expected = [
        letter("large", "too_large", "events.order", 602, "{\"h\": \"1\"}"),
        letter("nowhere", "no_stream", "-", 26, "-"),
    ];
    assert_eq!(dead, expected);
}

/// A key of another type: that stream is parked and named, the others go on; mended, it gets its
/// events in order.
#[tokio::test]
async fn a_stream_that_refuses_stops_only_itself() {
    let stage = Stage::new(&outbox("batch_rows = 10\npoll_interval = \"50ms\"")).await;
    stage.command("SET", &["events.bad", "not a stream"]).await;
    let relay = stage.relay();
    for n in 1..=30 {
        stage.sql(&[insert("good", "g", n), insert("bad", "b", n)].concat()).await;
    }
    stage.reaches("events.good", 30).await;
    eventually(LIMIT, "the stream to be parked", async || {
        stage.metrics().await.contains("outflow_streams_parked{outbox=\"orders\"} 1")
    })
    .await
    .expect("parked");
    assert!(relay.log().contains("events.bad"), "{}", relay.log_tail());
    assert_eq!(stage.number("select count(*) from outbox").await, 30, "what was refused stays");
    assert_eq!(stage.number("select count(*) from outflow.dead_letter").await, 0);
    stage.command("DEL", &["events.bad"]).await;
    stage.drained().await;
    for (stream, events) in [("events.good", 30), ("events.bad", 30)] {
        let entries = stage.entries(stream).await;
        check_numbered(&entries);
        assert_eq!(entries.len(), events, "{stream}");
    }
    stage.ready(200).await;
}

/// Found by a fault run: the event that was to try a parked stream went to the dead letters, and
/// nothing else ever tried it.
#[tokio::test]
async fn what_is_to_try_a_parked_stream_may_be_a_dead_letter() {
    for settle in ["delete", "keep"] {
        let section = format!(
            "settle = \"{settle}\"\nbatch_rows = 10\npoll_interval = \"50ms\"\nevent_bytes_max = \
                \"500B\""
        );
        let stage = Stage::new(&outbox(&section)).await;
        stage.command("SET", &["events.bad", "not a stream"]).await;
        let large = |key: &str| {
            format!(
                "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
                    ('bad', '{key}', 'T', to_jsonb(repeat('x', 600)));"
            )
        };
        let rows = [
            large("b"),
            large("c"),
            large("c"),
            insert("bad", "b", 1),
            insert("bad", "c", 1),
            insert("good", "g", 1),
        ];
        stage.sql(&rows.concat()).await;
        let relay = stage.relay();
        let dead = async || stage.number("select count(*) from outflow.dead_letter").await == 3;
        eventually(LIMIT, "dead letters", dead)
            .await
            .unwrap_or_else(|error| panic!("{settle}: {error}: {}", relay.log_tail()));
        assert_eq!(stage.length("events.good").await, 1);
        stage.command("DEL", &["events.bad"]).await;
        stage.reaches("events.bad", 2).await;
        check_numbered(&stage.entries("events.bad").await);
    }
}

/// That its first event cannot be claimed was taken for a sign that nothing waits: the stream was
/// as any other again, until it refused the next batch. The first one commits last here.
#[tokio::test]
async fn a_parked_stream_stays_parked_if_its_first_event_cannot_be_claimed() {
    let refuses = "create function refuse() returns trigger language plpgsql as \
            'begin raise exception ''not this one''; end'; \
        create trigger stays before delete on outbox for each row when (old.aggregate_id = 'a') \
        execute function refuse()";
    let cases =
        [(9_000, "select 1", "dead-lettered events"), (1, refuses, "holding back the events")];
    for (bytes, prelude, told) in cases {
        let stage = Stage::new(&outbox(
            "event_bytes_max = \"500B\"\nbatch_bytes = \"4KiB\"\npoll_interval = \"50ms\"",
        ))
        .await;
        stage.sql(prelude).await;
        stage.command("SET", &["events.bad", "not a stream"]).await;
        let relay = stage.relay();
        stage.ready(200).await;
        let first = stage.client().await;
        let row = format!(
            "begin; insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
                ('bad', 'a', 'T', to_jsonb(repeat('x', {bytes})))"
        );
        first.batch_execute(&row).await.expect("a row");
        stage.sql(&insert("bad", "b", 1)).await;
        let says = async |words: &str| {
            let said = eventually(LIMIT, words, async || relay.log().contains(words)).await;
            said.unwrap_or_else(|error| panic!("{told}: {error}: {}", relay.log_tail()));
        };
        says("parked it").await;
        first.batch_execute("commit").await.expect("the first event");
        says(told).await;
        // The next event tries the stream, by itself.
        let before = stage.refusals().await;
        let again = async || stage.refusals().await > before;
        let tried = eventually(LIMIT, "a refusal", again).await;
        tried.unwrap_or_else(|error| panic!("{told}: {error}: {}", relay.log_tail()));
        assert_eq!(relay.log().matches("parked it").count(), 1, "{told}");
        stage.command("DEL", &["events.bad"]).await;
        stage.reaches("events.bad", 1).await;
    }
}

/// A probe skips an event that another session has locked, and leaves out one that is held back.
/// That it then found none was taken for a sign that nothing waits.
#[tokio::test]
async fn a_parked_stream_stays_parked_while_its_event_is_locked_or_held_back() {
    let lock = ("begin; select from outbox for update", "commit");
    let refuse = "create function refuse() returns trigger language plpgsql as \
            'begin raise exception ''not now''; end'; \
        create trigger stays before delete on outbox for each row execute function refuse()";
    for (hinder, no_more) in [lock, (refuse, "drop trigger stays on outbox")] {
        let stage = Stage::new(&outbox("poll_interval = \"50ms\"")).await;
        stage.command("SET", &["events.bad", "not a stream"]).await;
        stage.sql(&insert("bad", "b", 1)).await;
        let relay = stage.relay();
        let says = async |words: &str| {
            let said = eventually(LIMIT, words, async || relay.log().contains(words)).await;
            said.unwrap_or_else(|error| panic!("{hinder}: {error}: {}", relay.log_tail()));
        };
        says("parked it").await;
        let other = stage.client().await;
        // It waits for the claim that was refused.
        other.batch_execute(hinder).await.expect("a hindrance");
        stage.asked(&["stream", "retry", "events.bad"]).await.data();
        says("no event of the parked stream can be claimed now").await;
        other.batch_execute(no_more).await.expect("its end");
        stage.command("DEL", &["events.bad"]).await;
        stage.asked(&["stream", "retry", "events.bad"]).await.data();
        stage.reaches("events.bad", 1).await;
        stage.drained().await;
        assert_eq!(relay.log().matches("parked it").count(), 1, "{hinder}: {}", relay.log_tail());
    }
}

/// After `park_max` what waits and what comes goes to the dead letters, in order; once the stream
/// takes events again it gets them, and a retry puts the others back.
#[tokio::test]
async fn a_stream_that_refuses_for_too_long_is_given_up() {
    let stage =
        Stage::new(&outbox("batch_rows = 10\npoll_interval = \"50ms\"\npark_max = \"1500ms\""))
            .await;
    stage.command("SET", &["events.bad", "not a stream"]).await;
    let relay = stage.relay();
    for n in 1..=15 {
        stage.sql(&[insert("good", "g", n), insert("bad", "b", n)].concat()).await;
    }
    stage.reaches("events.good", 15).await;
    stage.drained().await;
    stage.sql(&insert("bad", "b", 16)).await;
    stage.drained().await;
    assert!(relay.log().contains("park_max"), "{}", relay.log_tail());
    let metrics = stage.metrics().await;
    assert!(
        metrics.contains(
            "outflow_events_dead_lettered_total{outbox=\"orders\",reason=\"refused\"} 16"
        ),
        "{metrics}"
    );
    assert!(metrics.contains("outflow_streams_parked{outbox=\"orders\"} 1"), "{metrics}");
    let letters = "select count(*) from outflow.dead_letter where reason = 'refused' and stream = \
        'events.bad' and key = 'b'";
    assert_eq!(stage.number(letters).await, 16);
    stage.command("DEL", &["events.bad"]).await;
    // Whatever tries it first after its pause.
    let mut n = 16;
    eventually(LIMIT, "the stream to take an event", async || {
        n += 1;
        stage.sql(&insert("bad", "b", n)).await;
        stage.drained().await;
        stage.length("events.bad").await > 0
    })
    .await
    .expect("an entry");
    stage.asked(&["dead", "retry", "--reason", "refused", "--yes"]).await.data();
    stage.drained().await;
    assert_eq!(stage.length("events.bad").await, n);
    let retried = stage.entries("events.bad").await.split_off(1);
    check_numbered(&retried);
}

/// The same for a stream that the ACL forbids.
#[tokio::test]
async fn a_stream_that_the_acl_forbids_stops_only_itself() {
    let stage = Stage::new(&outbox("poll_interval = \"50ms\"")).await;
    let user = ["SETUSER", "relay", "on", ">secret", "+@all", "~outflow:*", "~events.good"];
    stage.command("ACL", &user).await;
    let config = std::fs::read_to_string(stage.path().join("outflow.toml")).expect("a file");
    let config = config.replace("redis://127.0.0.1", "redis://relay:secret@127.0.0.1");
    std::fs::write(stage.path().join("outflow.toml"), config).expect("a file");
    let relay = stage.relay();
    stage.sql(&[insert("bad", "b", 1), insert("good", "g", 1)].concat()).await;
    stage.reaches("events.good", 1).await;
    eventually(LIMIT, "the log to name it", async || relay.log().contains("events.bad"))
        .await
        .expect("a log line");
    assert!(!relay.log().contains("secret"), "a secret in the log");
    stage.command("ACL", &["SETUSER", "relay", "~events.bad"]).await;
    stage.reaches("events.bad", 1).await;
    stage.drained().await;
}

/// One huge row goes through alone, however small a batch may be.
#[tokio::test]
async fn batches_are_bounded_in_bytes_and_a_huge_row_still_goes_through() {
    let stage = Stage::new(&outbox("batch_bytes = \"64KiB\"")).await;
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
             select 'order', 'k', 'T', jsonb_build_object('key', 'k', 'n', i, 'pad', repeat('x', \
             case when i = 20 then 2000000 else 20000 end)) \
             from generate_series(1, 60) i",
        )
        .await;
    stage.once().await;
    let counted = check_numbered(&stage.entries("events.order").await);
    assert_eq!(counted.values().sum::<i64>(), 60);
}

/// A stream that keeps refusing is tried with one event by itself: nothing is in doubt, so that no
/// generation is raised and no recovery counted, and no other stream waits for it.
#[tokio::test]
async fn a_parked_stream_that_refuses_again_raises_no_generation() {
    for settle in ["delete", "keep"] {
        let settings = format!("settle = \"{settle}\"\nbatch_rows = 10\npoll_interval = \"50ms\"");
        let stage = Stage::new(&outbox(&settings)).await;
        stage.command("SET", &["events.bad", "not a stream"]).await;
        let relay = stage.relay();
        stage
            .sql(&[insert("bad", "b", 1), insert("bad", "b", 2), insert("bad", "b", 3)].concat())
            .await;
        let refused = async |times: u32| {
            let (series, mut n) =
                ("outflow_append_failures_total{outbox=\"orders\",reason=\"refused\"} ", 0);
            eventually(LIMIT, "another refusal", async || {
                n += 1;
                stage.sql(&insert("good", &format!("g{times}.{n}"), 1)).await;
                let metrics = stage.metrics().await;
                let line = metrics.lines().find_map(|line| line.strip_prefix(series));
                line.and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count >= times)
            })
            .await
            .expect("a refusal");
        };
        stage.ready(200).await;
        // Alone: if another stream takes its part of a batch, that is a doubt.
        let parked = async || relay.log().contains("parked it");
        eventually(LIMIT, "the stream to be parked", parked).await.expect("a refusal");
        refused(3).await;
        assert_eq!(
            stage.number("select generation from outflow.outbox").await,
            1,
            "{}",
            relay.log_tail()
        );
        if settle == "delete" {
            let waiting = "select count(*) from outbox where aggregate_type = 'bad'";
            assert_eq!(stage.number(waiting).await, 3);
        }
        let metrics = stage.metrics().await;
        for cause in ["partly_appended", "postgres", "unanswered"] {
            let series =
                format!("outflow_recoveries_total{{cause=\"{cause}\",outbox=\"orders\"}} 0");
            assert!(metrics.contains(&series), "{series}: {metrics}");
        }
        stage.command("DEL", &["events.bad"]).await;
        stage.reaches("events.bad", 3).await;
        check_numbered(&stage.entries("events.bad").await);
        check_numbered(&stage.entries("events.good").await);
    }
}
