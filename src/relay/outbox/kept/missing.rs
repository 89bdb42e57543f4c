//! How many events a recovery sends again: for people, and counted only as long as that is quick.

use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use super::super::refusal::failed;
use super::super::session::Session;
use crate::relay::kept::pieces::Pieces;
use crate::relay::outbox::OutboxError;

/// A recovery holds up all members.
const LIMIT: Duration = Duration::from_secs(5);

/// Within the transaction of a recovery. `between`: the statement that counts. `None`: it takes too
/// long.
pub(super) async fn missing(
    client: &Session,
    between: &str,
    from: &[Pieces],
    to: &[Pieces],
) -> Result<Option<u64>, OutboxError> {
    let (began, mut missing) = (Instant::now(), 0);
    for from in from.iter().flat_map(Pieces::all) {
        for to in to.iter().flat_map(Pieces::all) {
            let slots = from.slots & to.slots;
            if slots == 0 || from.stream.is_some() || to.stream.is_some() {
                continue;
            }
            let (seen, until) = (from.position.seen.to_string(), to.position.seen.to_string());
            let left = LIMIT.saturating_sub(began.elapsed()).as_millis().max(1);
            let counted = async {
                let limit = format!("savepoint counting; set local statement_timeout = {left}");
                client.batch_execute(&limit).await?;
                let count = client.query_one(between, &[&seen, &until, &Some(slots)]).await;
                // The limit goes with it.
                client.batch_execute("rollback to counting; release counting").await?;
                count
            };
            match counted.await {
                Ok(count) => missing += u64::try_from(count.get::<_, i64>(0)).unwrap_or(0),
                Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => return Ok(None),
                Err(error) => return Err(failed(&error)),
            }
        }
    }
    Ok(Some(missing))
}
