//! `outflow find`: where an event is, and what was looked at.

mod bounds;
mod kept;
mod several;
mod states;
mod topologies;

use serde_json::Value;

use crate::support::{Asked, Stage};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// An event with this id, which ends with this number.
fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// Inserts an event into the default table.
async fn insert(stage: &Stage, number: u32, kind: &str, key: &str, payload: &str) {
    stage
        .sql(&format!(
            "insert into outbox (event_id, aggregate_type, aggregate_id, event_type, payload, \
             headers) values ('{}', '{kind}', '{key}', 'T{number}', '{payload}', \
             '{{\"traceparent\": \"00-{TRACE}-00f067aa0ba902b7-01\", \"n\": {number}}}')",
            id(number)
        ))
        .await;
}

async fn asked(stage: &Stage, args: &[&str]) -> Asked {
    stage.asked(&[&["find"], args].concat()).await
}

/// What `--json` says; something was found.
async fn found(stage: &Stage, args: &[&str]) -> Value {
    asked(stage, &[args, &["--json"]].concat()).await.json().remove(0)
}

/// The only event with this id.
async fn event(stage: &Stage, number: u32) -> Value {
    let mut found = found(stage, &["--event-id", &id(number)]).await;
    assert_eq!(found["events"].as_array().map(Vec::len), Some(1), "{found}");
    found["events"][0].take()
}

/// What people read; something was found.
async fn text(stage: &Stage, args: &[&str]) -> String {
    asked(stage, args).await.data()
}

/// The only entry of a stream with this event, by its id.
async fn entry_id(stage: &Stage, stream: &str, number: u32) -> String {
    let reply = stage.command("XRANGE", &[stream, "-", "+"]).await;
    let is_it = |entry: &&outflow_connect::redis::Reply| {
        crate::support::entry(entry).field("id") == id(number)
    };
    let entry = reply.items().iter().find(is_it).expect("an entry");
    entry.items()[0].string().expect("an id")
}
