//! Settling: the rows leave the outbox for good, or stay.

use serde_json::Value;
use tokio_postgres::types::ToSql;

use super::claim::PgClaim;
use super::lease::Lease;
use super::lease::{abandon, roll_back};
use super::refusal::{failed, within};
use super::session::Session;
use super::state::locked;
use super::state::noted;
use super::{Claim, OutboxError, texts};
use crate::relay::encode::Entries;
use crate::relay::event::{Batch, DeadLetter, Event};

impl Claim for PgClaim {
    fn batch(&self) -> &Batch {
        &self.batch
    }

    fn is_full(&self) -> bool {
        self.full
    }

    async fn settle(mut self, entries: &Entries) -> Result<(), OutboxError> {
        let Some(client) = self.client.take() else { return Ok(()) };
        let outcome = within(commit(&client, &self, &entries.dead)).await;
        match outcome {
            Ok(()) => {
                self.settled = true;
                Ok(())
            }
            Err(error) => noted(&self.state, Err(abandon(client, error))),
        }
    }

    async fn roll_back(mut self) -> Result<(), OutboxError> {
        let Some(client) = self.client.take() else { return Ok(()) };
        within(roll_back(Lease::new(client))).await
    }
}

/// However a claim ends other than by a known commit, its rows are looked at again.
impl Drop for PgClaim {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            client.close();
        }
        let mut state = locked(&self.state);
        state.in_flight.leave(self.number);
        let lowest = self.batch.events.first().and_then(|event| event.order);
        if let Some(lowest) = lowest.filter(|_| !self.settled) {
            state.look_again_from(lowest);
        }
        state.ended.notify_one();
    }
}

impl PgClaim {
    /// The columns that the stream template names, and their values, for a retry to restore.
    fn route_of(&self, index: usize) -> Value {
        let values = self.route(index).map(|(name, value)| {
            let is_ascii = self.texts.is_ascii(name);
            (name.clone(), Value::from(value.map(|value| texts::readable(value, is_ascii))))
        });
        Value::Object(values.collect())
    }

    fn bytes_of(&self, index: usize) -> Option<Value> {
        self.texts.bytes_of(&self.batch.events[index], self.route(index))
    }

    fn route(&self, index: usize) -> impl Iterator<Item = (&String, Option<&[u8]>)> {
        self.route_columns.iter().zip(self.batch.route_of(index).iter().map(Option::as_deref))
    }
}

async fn commit(client: &Session, claim: &PgClaim, dead: &[DeadLetter]) -> Result<(), OutboxError> {
    if !dead.is_empty() {
        dead_letter(client, claim, dead).await?;
    }
    // A commit of a failed transaction answers ROLLBACK without an error; every statement before it
    // was checked.
    client.batch_execute("commit").await.map_err(|error| failed(&error))
}

async fn dead_letter(
    client: &Session,
    claim: &PgClaim,
    dead: &[DeadLetter],
) -> Result<(), OutboxError> {
    let batch = &claim.batch;
    let text = |is_ascii: bool,
                of: &dyn Fn(&Event) -> Option<bytes::Bytes>|
     -> Vec<Option<String>> {
        let texts = dead.iter().map(|letter| of(&batch.events[letter.index]));
        texts.map(|bytes| bytes.as_deref().map(|bytes| texts::readable(bytes, is_ascii))).collect()
    };
    let rows = text(false, &|event| Some(event.primary_key()));
    let ids = text(false, &|event| Some(event.id.clone()));
    let keys = text(claim.texts.key, &|event| event.key.clone());
    let kinds = text(claim.texts.kind, &|event| Some(event.kind.clone()));
    let times = text(false, &|event| event.time.clone());
    let headers = text(claim.texts.headers, &|event| event.headers.clone());
    let payloads: Vec<&[u8]> =
        dead.iter().map(|letter| &batch.events[letter.index].payload[..]).collect();
    let streams: Vec<Option<&str>> = dead.iter().map(|letter| letter.stream.as_deref()).collect();
    let reasons: Vec<&str> = dead.iter().map(|letter| letter.reason.as_str()).collect();
    let routes: Vec<Value> = dead.iter().map(|letter| claim.route_of(letter.index)).collect();
    let bytes: Vec<Option<Value>> =
        dead.iter().map(|letter| claim.bytes_of(letter.index)).collect();
    let params: [&(dyn ToSql + Sync); 12] = [
        &claim.outbox_name,
        &rows,
        &ids,
        &keys,
        &kinds,
        &times,
        &payloads,
        &headers,
        &streams,
        &reasons,
        &routes,
        &bytes,
    ];
    let buried = client
        .execute(include_str!("sql/dead_letter.sql"), &params)
        .await
        .map_err(|error| failed(&error))?;
    if buried == dead.len() as u64 {
        Ok(())
    } else {
        Err(OutboxError::Postgres(format!(
            "{buried} dead letters were written, not {}",
            dead.len()
        )))
    }
}
