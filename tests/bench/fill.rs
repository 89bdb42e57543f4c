//! Rows for the outbox.

use super::Outcome;
use super::stage::Stage;

/// Rows of one insert.
const STEP: u64 = 500_000;

/// What the rows are like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) count: u64,
    /// Bytes of a payload as text.
    pub(crate) payload: usize,
    /// Over so many streams, one row after another.
    pub(crate) streams: u64,
}

impl Rows {
    /// Of 260 bytes, into one stream: as in `docs/benchmarks.md`.
    pub(crate) fn usual(count: u64) -> Self {
        Self { count, payload: 260, streams: 1 }
    }

    /// Name of the one stream, or of the first.
    pub(crate) const STREAM: &'static str = "events.order-0";
}

/// Empties the table, so that no run finds the dead rows of another one, and then fills it.
///
/// The checkpoint comes first: after it, pages that deletes are the first to change would be logged
/// whole; those of a new file are not.
pub(crate) async fn refill(stage: &Stage, rows: Rows) -> Outcome {
    stage.clear_streams().await?;
    stage.sql("truncate public.outbox; checkpoint").await?;
    fill(stage, rows).await
}

/// Adds rows.
pub(crate) async fn fill(stage: &Stage, rows: Rows) -> Outcome {
    let payload = payload(rows.payload);
    let mut first = 0;
    while first < rows.count {
        let last = rows.count.min(first + STEP) - 1;
        let streams = rows.streams;
        stage
            .sql(&format!(
                "insert into public.outbox (aggregate_type, aggregate_id, event_type, payload) \
                 select 'order-' || n % {streams}, (n % 1000)::text, 'OrderPlaced', '{payload}' \
                 from generate_series({first}, {last}) as n"
            ))
            .await?;
        first = last + 1;
    }
    Ok(())
}

/// A JSON text of so many bytes that hardly compresses: Postgres compresses rows above 2 kB.
pub(crate) fn payload(bytes: usize) -> String {
    const FRAME: &str = r#"{"note": ""}"#;
    let random = std::iter::repeat_with(|| uuid::Uuid::new_v4().into_bytes()).flatten().map(letter);
    let filler: String = random.take(bytes.saturating_sub(FRAME.len())).collect();
    format!(r#"{{"note": "{filler}"}}"#)
}

fn letter(random: u8) -> char {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-";
    char::from(LETTERS[usize::from(random % 64)])
}
