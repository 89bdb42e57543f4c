//! Outboxes with other columns, types and formats than the default table.

use serde_json::json;

use super::{asked, found, id, insert, text};
use crate::support::{Stage, outbox};

/// A second table: numbers for ids, a key that is a uuid, no headers, no time.
const BILLS: &str = r#"
[[outbox]]
name = "bills"
table = "public.bills"
stream = "bills"
[outbox.columns]
id = "n"
order = "n"
event_id = "number"
key = "customer"
type = "what"
payload = "body"
headers = ""
time = ""
"#;
const TABLE: &str = "create table bills (n bigint generated always as identity primary key, \
    number bigint not null unique, customer uuid, what text not null, body jsonb)";

async fn stage() -> Stage {
    let stage = Stage::bare(&format!("{}{BILLS}", outbox(""))).await;
    stage.sql(TABLE).await;
    stage.migrate().await;
    stage
}

#[tokio::test]
async fn each_outbox_is_asked_in_the_types_of_its_own_columns() {
    let stage = stage().await;
    let customer = "0E0E0E0E-0000-4000-8000-00000000ABCD";
    let bill = format!("insert into bills (number, customer, what) values (17, '{customer}', 'B')");
    stage.sql(&bill).await;
    insert(&stage, 1, "order", &customer.to_lowercase(), "{}").await;
    for sent in [false, true] {
        if sent {
            stage.once().await;
        }
        let where_it_is = if sent { "sent" } else { "waiting" };
        let of_number = found(&stage, &["--event-id", "017"]).await;
        let events = of_number["events"].as_array().expect("events");
        assert_eq!((events.len(), &events[0]["outboxes"]), (1, &json!(["bills"])), "{of_number}");
        assert_eq!(
            (&events[0]["event_id"], &events[0]["state"]),
            (&"17".into(), &where_it_is.into())
        );
        let no_uuid = of_number["tables"][0]["notes"].to_string();
        assert!(no_uuid.contains("is no uuid"), "{of_number}");
        assert_eq!(of_number["tables"][1]["by_index"], true, "{of_number}");
        assert_eq!(of_number["is_complete"], true, "{of_number}");
        // One key in two tables, of which one compares it as a uuid.
        let of_key = found(&stage, &["--key", &customer.to_lowercase()]).await;
        let outboxes = of_key["events"].as_array().expect("events").iter();
        let mut outboxes: Vec<String> =
            outboxes.map(|event| event["outboxes"].to_string()).collect();
        outboxes.sort();
        assert_eq!(outboxes, ["[\"bills\"]", "[\"orders\"]"], "{of_key}");
        let only = ["--key", customer, "--outbox", "bills"];
        assert_eq!(found(&stage, &only).await["events"][0]["state"], where_it_is);
    }
    let trace = asked(&stage, &["--trace", super::TRACE, "--outbox", "bills"]).await;
    assert_eq!(trace.code, Some(1), "{trace:?}");
    assert!(trace.stdout.contains("columns.headers names no column"), "{trace:?}");
    let bad = asked(&stage, &["--key", "x", "--outbox", "bills"]).await;
    assert_eq!(bad.code, Some(78), "{bad:?}");
    assert!(
        bad.stderr.contains("\"x\" is no uuid, the type of the column \"customer\""),
        "{bad:?}"
    );
}

/// A format without the field is not searched, and that is said.
#[tokio::test]
async fn formats_say_what_they_say() {
    let formats =
        [("payload", false, false), ("debezium", false, true), ("cloudevents", true, true)];
    for (format, by_id, by_key) in formats {
        let stage = Stage::new(&outbox(&format!("format = \"{format}\""))).await;
        insert(&stage, 1, "order", "a", "{}").await;
        stage.once().await;
        let id = id(1);
        for (args, is_there) in [(["--event-id", &id], by_id), (["--key", "a"], by_key)] {
            let answer = asked(&stage, &args).await;
            assert_eq!(answer.code, Some(i32::from(!is_there)), "{format} {args:?}: {answer:?}");
            let says = answer.stdout.contains("have no field for the");
            assert_eq!(says, !is_there, "{format}: {answer:?}");
            let not_all = answer.stderr.contains("which is not all there is");
            assert_eq!(not_all, !is_there, "{format}: {answer:?}");
        }
    }
}

/// A stream that two outboxes write to is looked through once.
#[tokio::test]
async fn an_entry_of_a_shared_stream_is_of_either_unless_a_row_says_so() {
    let shared = outbox("").replace("events.{aggregate_type}", "shared");
    let other = shared.replace("orders", "others").replace("public.outbox", "public.others");
    let stage = Stage::bare(&format!("{shared}{other}")).await;
    let columns = "id bigint generated always as identity primary key, event_id uuid not null, \
        aggregate_type text not null, aggregate_id text not null, event_type text not null, \
        payload json not null, headers json, created_at timestamptz not null default now()";
    stage.sql(&format!("create table others ({columns})")).await;
    stage.migrate().await;
    insert(&stage, 1, "order", "a", "{}").await;
    stage.once().await;
    let found = found(&stage, &["--event-id", &id(1)]).await;
    assert_eq!(found["events"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found["events"][0]["outboxes"], json!(["orders", "others"]));
    assert_eq!(found["streams"].as_array().map(Vec::len), Some(1), "{found}");
    let said = text(&stage, &["--event-id", &id(1)]).await;
    assert!(said.contains("orders or others"), "{said}");
}
