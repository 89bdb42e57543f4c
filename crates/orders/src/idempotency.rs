//! `Idempotency-Key`: a request that is repeated gets the answer of the first one, and changes
//! nothing again.
//!
//! The key is kept with the answer in the transaction of the order, so that there is never one
//! without the other. The convention is that of an expired IETF draft
//! (draft-ietf-httpapi-idempotency-key-header-07), as known from payment APIs.

use std::time::Duration;

use deadpool_postgres::{Pool, Transaction};
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::store_error::StoreError;
use outflow_connect::postgres::{describe, describe_pool};

const FIND: &str = include_str!("sql/idempotent_find.sql");
const KEEP: &str = include_str!("sql/idempotent_keep.sql");
const CLEAN: &str = include_str!("sql/idempotent_clean.sql");
/// One request a key at a time. The second number keeps these locks apart from others.
const LOCK: &str = "select pg_try_advisory_xact_lock(hashtextextended($1, 6220))";
const CLEAN_INTERVAL: Duration = Duration::from_mins(1);
const KEY_CHARS_MAX: usize = 255;

/// A request that wants to be answered once, however often it comes.
#[derive(Debug, Clone, Copy)]
pub struct Once<'a> {
    key: &'a str,
    /// What must be the same when the key is.
    body: &'a [u8],
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: go ahead.
    New,
    /// The same request was answered with this.
    Answered(String),
    /// It was used with another body.
    OtherBody,
    /// A request with it is under way.
    InProgress,
}

impl<'a> Once<'a> {
    /// A key as a client sends it: 1 to 255 visible ASCII characters.
    pub fn new(key: &'a str, body: &'a [u8]) -> Option<Self> {
        let fits = (1..=KEY_CHARS_MAX).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then_some(Self { key, body })
    }

    /// What is known of the key. Until the transaction ends, no other request with it gets further.
    pub(super) async fn look(
        &self,
        transaction: &Transaction<'_>,
        keep: Duration,
    ) -> Result<Known, StoreError> {
        let lock = transaction.prepare_cached(LOCK).await?;
        if !transaction.query_one(&lock, &[&self.key]).await?.try_get::<_, bool>(0)? {
            return Ok(Known::InProgress);
        }
        // A statement of its own, so that it sees what was committed before the lock was free.
        let find = transaction.prepare_cached(FIND).await?;
        let found =
            transaction.query_opt(&find, &[&self.key, &self.body, &keep.as_secs_f64()]).await?;
        Ok(match found {
            None => Known::New,
            Some(row) if row.try_get(0)? => Known::Answered(row.try_get(1)?),
            Some(_) => Known::OtherBody,
        })
    }

    /// Keeps the answer.
    pub(super) async fn keep(
        &self,
        transaction: &Transaction<'_>,
        response: &str,
    ) -> Result<(), StoreError> {
        let keep = transaction.prepare_cached(KEEP).await?;
        transaction.execute(&keep, &[&self.key, &self.body, &response]).await?;
        Ok(())
    }
}

/// Deletes keys that have expired, a batch at a time, until `stop` is cancelled.
pub async fn keep_clean(pool: &Pool, keep: Duration, stop: &CancellationToken) {
    while tokio::time::timeout(CLEAN_INTERVAL, stop.cancelled()).await.is_err() {
        match clean(pool, keep).await {
            Ok(0) => {}
            Ok(keys) => tracing::info!(keys, "deleted expired idempotency keys"),
            Err(cause) => tracing::warn!(%cause, "could not delete expired idempotency keys: \
                retrying later"),
        }
    }
}

async fn clean(pool: &Pool, keep: Duration) -> Result<u64, String> {
    let client = pool.get().await.map_err(|error| describe_pool(&error))?;
    let mut total = 0;
    loop {
        let deleted = client.execute_typed(CLEAN, &[(&keep.as_secs_f64(), Type::FLOAT8)]).await;
        match deleted.map_err(|error| describe(&error))? {
            0 => return Ok(total),
            keys => total += keys,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Once;

    #[test]
    fn keys_are_visible_ascii() {
        let long = "k".repeat(256);
        let rows = [
            ("a", true),
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", true),
            ("", false),
            ("a b", false),
            ("ä", false),
            (&long, false),
        ];
        for (key, fits) in rows {
            assert_eq!(Once::new(key, b"").is_some(), fits, "{key:?}");
        }
    }
}
