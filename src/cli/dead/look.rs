//! Looking for dead letters, and what was asked for in vain.

use crate::cli::connect::failed;
use crate::operate::dead_letters::{self, SETTINGS};
use crate::relay::event::DeadReason;
use outflow_connect::postgres::{self, scoped};
use outflow_core::fault::Fault;

/// What only looks, in a transaction of its own.
pub(super) async fn looking<T>(
    client: &tokio_postgres::Client,
    look: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Fault> {
    let begin = scoped::begin("read only", &postgres::session(SETTINGS));
    scoped::looking(client, &begin, look).await.map_err(failed)?.map_err(failed)
}

/// A reason that nobody knows is a slip of the pen: it would choose nothing, and look like good
/// news.
pub(super) async fn known_reason(
    client: &tokio_postgres::Client,
    reason: Option<&str>,
) -> Result<(), Fault> {
    let Some(reason) = reason else { return Ok(()) };
    let mut known: Vec<String> =
        DeadReason::ALL.iter().map(|reason| reason.as_str().to_owned()).collect();
    if known.iter().any(|known| known == reason) {
        return Ok(());
    }
    // Another version may know others.
    let there = looking(client, dead_letters::reasons(client)).await?;
    if there.iter().any(|there| there == reason) {
        return Ok(());
    }
    known.extend(there);
    known.sort();
    known.dedup();
    Err(Fault::failed(format!(
        "--reason: there is no reason {reason:?}; the reasons are {}",
        known.join(", ")
    )))
}

pub(super) fn missing(asked: &[i64], found: impl Iterator<Item = i64>) -> Result<(), Fault> {
    let found: Vec<i64> = found.collect();
    let missing: Vec<String> =
        asked.iter().filter(|id| !found.contains(id)).map(ToString::to_string).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let numbers = missing.join(", ");
    Err(Fault::failed(format!(
        "there is no such dead letter: {numbers}; `outflow dead list` shows which there are"
    )))
}
