//! Kept outboxes (`settle = "keep"`).

mod bad;
mod change;
mod columns;
mod counts;
mod dead;
mod delivery;
mod examine;
mod healing;
mod idle;
mod journal;
mod late;
mod letters;
mod migrate;
mod parked;
mod pause;
mod plans;
mod position;
mod postgres;
mod replay;
mod retention;
mod settings;
mod slow;
mod topology;

use outflow_connect::redis::Reply;

use crate::support::{Stage, check_numbered, outbox};

/// The tables that `migrate` makes.
const LAYOUTS: [&str; 2] = ["ring", "plain"];

/// The outbox section of a kept table, with more lines. Sections come last: `more` begins in
/// `[outbox.keep]`.
fn kept(more: &str) -> String {
    outbox(&format!("settle = \"keep\"\n[outbox.keep]\n{more}"))
}

/// The same; `more` begins in `[[outbox]]`.
fn kept_with(more: &str) -> String {
    outbox(&format!("settle = \"keep\"\n{more}\n"))
}

/// The same with one of these layouts.
fn kept_as(layout: &str, more: &str) -> String {
    kept_with(&format!("{more}\n[outbox.keep]\nlayout = \"{layout}\""))
}

/// So many rounds, in each an event of ten keys for both `events.good` and `events.bad`.
async fn both(stage: &Stage, from: i64, rounds: i64) {
    stage
        .sql(&format!(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
             select kind, 'k' || k, 'T', json_build_object('key', 'k' || k, 'n', n) \
             from generate_series({from}, {from} + {rounds} - 1) n, generate_series(0, 9) k, \
               unnest('{{good,bad}}'::text[]) kind order by n"
        ))
        .await;
}

/// Waits until a stream has so many rounds, and asserts that it has each event once, in order.
async fn arrive(stage: &Stage, stream: &str, rounds: i64) {
    stage.reaches(stream, rounds * 10).await;
    are_there(stage, stream, rounds).await;
}

async fn are_there(stage: &Stage, stream: &str, rounds: i64) {
    let counted = check_numbered(&stage.entries(stream).await);
    assert_eq!(counted.len(), 10, "{stream}: {counted:?}");
    assert!(counted.values().all(|count| *count == rounds), "{stream}: {rounds}: {counted:?}");
}

/// The key of the only journal.
async fn journal_key(stage: &Stage) -> String {
    let keys = stage.command("KEYS", &["outflow:journal:*"]).await;
    let mut keys: Vec<String> = keys.items().iter().filter_map(Reply::string).collect();
    keys.retain(|key| !key.contains(".streams"));
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys.remove(0)
}

/// What the journal says of where all members are: one line for each piece.
async fn pieces(stage: &Stage) -> Vec<String> {
    let fields = stage.command("HGETALL", &[&journal_key(stage).await]).await;
    let text = |reply: &Reply| reply.string().unwrap_or_default();
    let pairs = fields.items().chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1])));
    let kept = pairs.filter(|(field, _)| field.starts_with("kept:"));
    kept.flat_map(|(_, pieces)| pieces.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Those of them that are of a single stream.
async fn left_behind(stage: &Stage) -> usize {
    pieces(stage).await.iter().filter(|piece| !piece.ends_with('|')).count()
}

/// Runs what `check` prints for the table.
async fn mended(stage: &Stage) {
    let findings = stage.asked(&["check", "--json"]).await;
    for line in findings.stdout.lines() {
        let finding: serde_json::Value = serde_json::from_str(line).expect(line);
        let of_server = finding["about"] == "postgres" || finding["about"] == "redis";
        if finding["level"] == "error" && !of_server {
            stage.sql(finding["remedy"]["text"].as_str().expect("a statement")).await;
        }
    }
}
