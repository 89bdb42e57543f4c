//! Several events in one transaction: a statement for all of them where one event would take its
//! own, and one commit.
//!
//! Only the ways on which an order goes well, which have the numbers. Whatever does not fit (too
//! little stock, a statement that fails, a lock that is not got soon) rolls all of it back, and
//! each event is handled by itself.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::super::order::OrderEvent;
use super::{Rules, Saga, Step, Told, unwritten};
use outflow_consumer::{Entry, ErrorKind, EventId, Handled, HandlerError};
use outflow_producer::NewEvent;

/// Stock is locked by many for a moment each. Whoever holds a lock for longer than this must not
/// hold up events that have nothing to do with it.
const PATIENCE: &str = "set local lock_timeout = '1s'";

/// An event that was read, with its place among the entries.
pub(super) struct Read<'a> {
    place: usize,
    entry: &'a Entry,
    event: OrderEvent,
}

/// A transaction that handles several events of one type.
pub(super) struct Many<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) events: Vec<&'a OrderEvent>,
    pub(super) rules: Rules,
}

impl Many<'_> {
    pub(super) fn order_ids(&self) -> Vec<Uuid> {
        self.events.iter().map(|event| event.order_id).collect()
    }
}

impl Saga {
    /// See [`Handler::handle_many`](outflow_consumer::Handler::handle_many).
    pub(super) async fn handle_entries(
        &self,
        entries: &[Entry],
    ) -> Vec<Option<Result<Handled, HandlerError>>> {
        let mut outcomes = vec![None; entries.len()];
        let mut by_type: BTreeMap<&str, Vec<Read<'_>>> = BTreeMap::new();
        for (place, entry) in entries.iter().enumerate() {
            match self.read(entry) {
                Ok(None) => outcomes[place] = Some(Ok(Handled::Ignored)),
                Ok(Some(event)) if self.step.is_often(&entry.event_type) => {
                    let read = Read { place, entry, event };
                    by_type.entry(&entry.event_type).or_default().push(read);
                }
                Ok(Some(_)) => {}
                Err(error) => outcomes[place] = Some(Err(error)),
            }
        }
        for (event_type, reads) in by_type {
            match self.once_each(event_type, &reads).await {
                Ok(handled) => {
                    for (read, handled) in reads.iter().zip(handled) {
                        outcomes[read.place] = Some(Ok(handled));
                    }
                }
                // Nobody's fault: it would be the same for each.
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    for read in &reads {
                        outcomes[read.place] = Some(Err(error.clone()));
                    }
                }
                Err(error) => {
                    tracing::debug!(event_type, count = reads.len(), %error, "could not handle the \
                        events in one transaction: handling each in its own");
                }
            }
        }
        outcomes
    }

    async fn once_each(
        &self,
        event_type: &str,
        reads: &[Read<'_>],
    ) -> Result<Vec<Handled>, HandlerError> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let ids: Vec<&EventId> = reads.iter().map(|read| &read.entry.event_id).collect();
        // Sent one behind the other, so that they take one round trip.
        let (patience, new) = tokio::join!(
            biased;
            transaction.batch_execute(PATIENCE),
            self.inbox.first_times(&transaction, &ids),
        );
        patience?;
        let new = new?;
        let fresh = reads.iter().zip(&new).filter_map(|(read, is_new)| is_new.then_some(read));
        let fresh: Vec<&Read<'_>> = fresh.collect();
        let events = fresh.iter().map(|read| &read.event).collect();
        if !fresh.is_empty() {
            let many = Many { transaction: &transaction, events, rules: self.rules };
            self.work(event_type, &many, &fresh).await?;
        }
        transaction.commit().await?;
        let handled = |is_new| if is_new { Handled::Done } else { Handled::Duplicate };
        Ok(new.into_iter().map(handled).collect())
    }

    async fn work(
        &self,
        event_type: &str,
        many: &Many<'_>,
        fresh: &[&Read<'_>],
    ) -> Result<(), HandlerError> {
        match self.step {
            Step::Inventory => {
                let told = fresh.iter().map(|_| Some(("stock", "StockReserved", None))).collect();
                let telling = self.tell_all(many.transaction, fresh, told);
                let (told, reserved) = tokio::join!(biased; telling, many.reserve());
                told.and(reserved)
            }
            Step::Payment => self.tell_all(many.transaction, fresh, many.take().await?).await,
            Step::Order => {
                self.tell_all(many.transaction, fresh, many.decide(event_type).await?).await
            }
        }
    }

    async fn tell_all(
        &self,
        transaction: &Transaction<'_>,
        fresh: &[&Read<'_>],
        told: Vec<Told>,
    ) -> Result<(), HandlerError> {
        let told = fresh.iter().zip(told).filter_map(|(read, told)| Some((read, told?)));
        let told: Vec<_> = told
            .map(|(read, (aggregate_type, event_type, reason))| {
                (
                    aggregate_type,
                    read.event.followed_by(event_type, reason),
                    read.entry.trace_headers(),
                )
            })
            .collect();
        let events: Vec<_> = told
            .iter()
            .map(|(aggregate_type, event, headers)| {
                NewEvent::new(*aggregate_type, &event.aggregate_id, &event.event_type, event)
                    .id(event.event_id)
                    .headers(headers.clone())
            })
            .collect();
        self.outbox.write_many(transaction, &events).await.map_err(unwritten)
    }
}
