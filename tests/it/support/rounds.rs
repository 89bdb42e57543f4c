//! Events written in rounds: each round one of every key, with the round's number; read from
//! whatever Redis it is.

use std::fmt::Write as _;
use std::ops::Range;

use outflow_connect::redis::{Args, Redis};
use outflow_local::eventually;

use super::stage::entry;
use super::{LIMIT, Stage};

/// One event a key for each of these rounds, in one statement.
pub(crate) async fn write_rounds(stage: &Stage, keys: usize, rounds: Range<usize>) {
    let mut values = String::new();
    for number in rounds {
        for key in 0..keys {
            let comma = if values.is_empty() { "" } else { ", " };
            let _ = write!(values, "{comma}('order', 'k{key}', 'Numbered', '{{\"n\": {number}}}')");
        }
    }
    let insert =
        "insert into public.outbox (aggregate_type, aggregate_id, event_type, payload) values";
    stage.sql(&format!("{insert} {values}")).await;
}

/// The rounds of each key, in the order of the stream.
pub(crate) async fn read_rounds(redis: &Redis, stream: &str, keys: usize) -> Vec<Vec<usize>> {
    let all = Args::from([stream, "-", "+"]);
    let entries =
        eventually(LIMIT, "the stream", async || redis.call("XRANGE", all.clone()).await.ok());
    let entries = entries.await.expect("the stream");
    let mut rounds = vec![Vec::new(); keys];
    for entry in entries.items().iter().map(entry) {
        let key: usize = entry.field("key")[1..].parse().expect("a number");
        let payload: serde_json::Value =
            serde_json::from_str(entry.field("payload")).expect("JSON");
        rounds[key].push(usize::try_from(payload["n"].as_u64().expect("a number")).expect("small"));
    }
    rounds
}
