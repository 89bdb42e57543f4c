//! Rows that cannot be delivered: each ends among the dead letters with its reason, and none stops
//! the others or costs memory.

use outflow_local::{Program, eventually};

use crate::support::{LIMIT, Stage, outbox};

const MIB: u64 = 1024 * 1024;

fn small(key: &str, n: i64) -> String {
    format!(
        "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
         values ('order', '{key}', 'T', jsonb_build_object('key', '{key}', 'n', {n}));"
    )
}

/// The most memory that a program has had so far, in bytes.
fn peak(program: &Program) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    let kib: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kib * 1024
}

async fn letters(stage: &Stage) -> Vec<String> {
    let rows = stage
        .client()
        .await
        .query(
            "select key || ' ' || reason || ' ' || coalesce(array_to_string(missing, ','), \
            '-') from outflow.dead_letter order by id",
            &[],
        )
        .await
        .expect("dead letters");
    rows.iter().map(|row| row.get(0)).collect()
}

/// 20, 60 and 100 MB in columns of every type that can be long, and jsonb that is small until it is
/// printed, so large that not even the server can: with small events behind each.
#[tokio::test]
async fn what_rows_contain_does_not_decide_how_much_memory_the_relay_takes() {
    let stage = Stage::new(&outbox("event_bytes_max = \"8MiB\"\npoll_interval = \"50ms\"")).await;
    let as_jsonb = "alter table outbox alter headers drop default, alter payload type jsonb, alter \
        headers type jsonb, alter headers set default '{}'";
    stage.sql(as_jsonb).await;
    let insert = |key: &str, payload: &str, more: &str| {
        format!(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload{}) values \
                ('order', '{key}', 'T', {payload}{});",
            if more.is_empty() { "" } else { ", headers" },
            if more.is_empty() { String::new() } else { format!(", {more}") },
        )
    };
    let exploding = |numbers: i64| {
        format!("(select jsonb_agg(('1e131000')::numeric) from generate_series(1, {numbers}))")
    };
    let large = |bytes: i64| format!("to_jsonb(repeat(md5(random()::text), {}))", bytes / 32);
    let rows = [
        insert("a", &large(20_000_000), ""),
        small("a", 1),
        insert("b", &large(60_000_000), ""),
        insert("b", "'{}'", &format!("jsonb_build_object('h', {})", large(100_000_000))),
        small("b", 1),
        insert("c", &exploding(1_000), ""),
        insert("c", &exploding(8_300), ""),
        insert("c", "'{}'", &exploding(1_000)),
        small("c", 1),
    ];
    for row in &rows {
        stage.sql(row).await;
    }
    let many = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) select \
        'order', 'd', 'T', '{}' from generate_series(1, 1000)";
    stage.sql(many).await;
    let relay = stage.relay();
    stage.drained().await;
    assert_eq!(stage.length("events.order").await, 1_003);
    let expected = [
        "a too_large -",
        "b too_large -",
        "b too_large -",
        "c too_large -",
        "c unreadable -",
        "c too_large -",
    ];
    assert_eq!(letters(&stage).await, expected, "{}", relay.log_tail());
    let peak = peak(&relay);
    assert!(peak < 96 * MIB, "the relay took {} MiB", peak / MIB);
    assert!(relay.log().contains("event_bytes_max"), "{}", relay.log_tail());
    // Nothing is lost: what comes back is what was written.
    let content =
        "select count(*) from outflow.dead_letter where documents is not null and missing is null";
    assert_eq!(stage.number(content).await, 6);
    stage.asked(&["dead", "show", "--json", "1", "5"]).await.data();
    let before = "select sum(hashtextextended(pg_column_size(documents -> 'payload')::text, 0)) \
        from outflow.dead_letter";
    let before = stage.number(before).await;
    drop(relay);
    stage.asked(&["dead", "retry", "--yes"]).await.data();
    let after = "select sum(hashtextextended(pg_column_size(jsonb_build_object('x', payload) -> \
        'x')::text, 0)) from outbox";
    assert_eq!(stage.number(after).await, before);
}

/// A null where an event needs a value, a value that Postgres has lost (its TOAST is gone): the
/// others go on, in order.
#[tokio::test]
async fn a_row_that_cannot_be_read_stops_nobody() {
    let stage = Stage::new(&outbox("poll_interval = \"50ms\"\nbatch_rows = 100")).await;
    stage
        .sql(
            "alter table outbox alter column event_type drop not null, alter column event_id drop \
                not null, \
               alter column payload drop not null; \
             alter table outbox alter column payload set storage external",
        )
        .await;
    for n in 1..=250 {
        stage.sql(&small("k", n)).await;
        let bad = match n {
            20 => {
                "insert into outbox (aggregate_type, aggregate_id, payload) values ('order', \
                    'type', '{}')"
            }
            50 => {
                "insert into outbox (event_id, aggregate_type, aggregate_id, event_type, payload) \
                    values (null, 'order', 'id', 'T', '{}')"
            }
            90 => {
                "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
                    ('order', 'toast', 'T', to_jsonb(repeat('x', 9000)))"
            }
            _ => continue,
        };
        stage.sql(bad).await;
    }
    stage
        .sql(
            "set allow_system_table_mods = on; \
             do $$ declare toast regclass := (select reltoastrelid from pg_class where oid = \
             'outbox'::regclass); begin \
               update pg_class set relkind = 'r' where oid = toast; \
               execute format('delete from %s', toast); \
               update pg_class set relkind = 't' where oid = toast; end $$",
        )
        .await;
    stage.sql("vacuum outbox").await;
    let relay = stage.relay();
    stage.drained().await;
    let entries = stage.entries("events.order").await;
    assert_eq!(crate::support::check_numbered(&entries)["k"], 250);
    assert_eq!(
        letters(&stage).await,
        ["type null_column type", "id null_column event_id", "toast unreadable payload"],
        "{}",
        relay.log_tail()
    );
    assert!(
        relay.log().contains("missing chunk number 0"),
        "the server's words: {}",
        relay.log_tail()
    );
    let refused = stage.asked(&["dead", "retry", "--yes"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("3 dead letters are incomplete"), "{}", refused.stderr);
    assert!(refused.stderr.contains("3 lacks payload"), "{}", refused.stderr);
    let metrics = stage.metrics().await;
    for (reason, count) in [("null_column", 2), ("unreadable", 1)] {
        let series = format!(
            "outflow_events_dead_lettered_total{{outbox=\"orders\",reason=\"{reason}\"}} {count}"
        );
        assert!(metrics.contains(&series), "{series}: {metrics}");
    }
}

/// A row whose delete is refused, whenever and with whatever code: held back with its key, the
/// others go on.
#[tokio::test]
async fn a_row_that_is_not_let_go_holds_back_its_key_only() {
    let plain = "create trigger stay before delete on outbox for each row execute function stay()";
    let deferred = "create constraint trigger stay after delete on outbox deferrable initially \
        deferred \
                    for each row execute function stay()";
    let cases = [("P0001", plain), ("42501", plain), ("ZZ001", deferred)];
    for (code, trigger) in cases {
        let stage = Stage::new(&outbox("poll_interval = \"50ms\"\nbatch_rows = 50")).await;
        let function = format!(
            "create function stay() returns trigger language plpgsql as $$ begin \
               if old.event_type = 'stay' then raise exception 'this one stays' using errcode = \
               '{code}'; end if; \
               return old; end $$; {trigger};"
        );
        stage.sql(&function).await;
        for n in 1..=60 {
            stage.sql(&[small("held", n), small("free", n)].concat()).await;
            if n == 30 {
                stage
                    .sql(
                        "update outbox set event_type = 'stay' where aggregate_id = 'held' and \
                        payload ->> 'n' = '30'",
                    )
                    .await;
            }
        }
        let relay = stage.relay();
        let client = stage.client().await;
        eventually(LIMIT, "the others to be delivered", async || {
            client
                .query_one("select count(*) from outbox", &[])
                .await
                .is_ok_and(|row| row.get::<_, i64>(0) == 31)
        })
        .await
        .expect("progress");
        assert!(relay.log().contains("this one stays"), "{code}: {}", relay.log_tail());
        let generation = stage.number("select generation from outflow.outbox").await;
        assert_eq!(generation, 1, "{code}: no recovery: {}", relay.log_tail());
        stage.ready(200).await;
        stage.sql("drop trigger stay on outbox").await;
        stage.drained().await;
        let counted = crate::support::check_numbered(&stage.entries("events.order").await);
        assert_eq!((counted["held"], counted["free"]), (60, 60), "{code}");
    }
}

/// Found under load: an event that is too large to be claimed was buried while the batches in front
/// of it, which had dead letters of the same key, were still on their way. A retry puts letters
/// back in the order in which they were buried.
#[tokio::test]
async fn letters_are_buried_in_the_order_of_their_rows() {
    for settle in ["delete", "keep"] {
        let stage = Stage::new(&outbox(&format!(
            "settle = \"{settle}\"\nevent_bytes_max = \"500B\"\nbatch_bytes = \"4KiB\"\n\
                batch_rows = 1\nin_flight = 8"
        )))
        .await;
        let _relay = stage.relay();
        stage.ready(200).await;
        let row = |kind: &str, bytes: usize| {
            format!(
                "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
                    ('{kind}', 'k', 'T', to_jsonb(repeat('x', {bytes})));"
            )
        };
        // Redis answers nothing that writes for a while: the first batches are on their way
        // meanwhile.
        stage.command("CLIENT", &["PAUSE", "2000", "WRITE"]).await;
        let rows = [row("order", 1), row("", 2), row("order", 600), row("order", 9_000)];
        stage.sql(&rows.concat()).await;
        stage.reaches("events.order", 1).await;
        let letters = "select count(*) from outflow.dead_letter where pending is null";
        let buried = async || stage.number(letters).await == 3;
        eventually(LIMIT, "three letters", buried).await.expect("letters");
        let order =
            "select string_agg(length(payload)::text, ' ' order by id) from outflow.dead_letter";
        let order = stage.client().await.query_one(order, &[]).await.expect("letters");
        assert_eq!(order.get::<_, &str>(0), "4 602 9002", "{settle}");
        assert_eq!(stage.length("events.order").await, 1);
    }
}
