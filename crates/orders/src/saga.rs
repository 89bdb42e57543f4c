//! The saga of an order, choreographed by events alone: each step handles events of the others,
//! changes its own tables, and tells what it did through the outbox, all in one transaction.
//!
//! ```text
//!  OrderCreated ─▶ inventory ─▶ StockReserved ─▶ payment ─▶ PaymentTaken ─▶ order: confirmed
//!                     │                            └─────▶ PaymentFailed ─▶ inventory
//!                     │                                      ─▶ StockReleased ─▶ order: cancelled
//!                     └──────▶ StockRejected ─▶ order: rejected
//!  OrderCancelled (by the customer, at any time) ─▶ inventory: StockReleased
//!                                                ─▶ payment: not taken, or PaymentRefunded
//! ```
//!
//! Every transition is made once: the inbox knows each event, and each update says from which state
//! it may come. Order per key holds within a stream; between the streams it does not, and no step
//! relies on it: a cancellation that reaches the payment before the reservation does leaves a
//! payment that is `void`, and nothing is taken later.

mod inventory;
mod many;
mod order;
mod payment;

use std::collections::BTreeMap;

use deadpool_postgres::{Pool, PoolError, Transaction};
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::order::{Item, OrderEvent};
use outflow_connect::postgres::{describe, describe_pool};
use outflow_consumer::{Entry, Handled, Handler, HandlerError, Inbox};
use outflow_producer::NewEvent;
use outflow_producer::tokio_postgres::{Outbox, WriteError};

/// The inbox table.
pub const INBOX: &str = "orders.inbox";

/// The steps, each a consumer group of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    /// Reserves stock, and gives it back.
    Inventory,
    /// Takes money, and gives it back.
    Payment,
    /// Decides what becomes of the order.
    Order,
}

/// What the steps go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How much is on hand of a sku that the inventory does not know yet.
    pub new_sku_on_hand: i64,
    /// A payment of more than that fails: this stands in for a bank.
    pub payment_max: Decimal,
}

impl Step {
    /// The name, which is the group's too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Payment => "payment",
            Self::Order => "order",
        }
    }

    /// The streams whose events it handles, as the template `events.{aggregate_type}` names them.
    pub fn streams(self) -> [&'static str; 2] {
        match self {
            Self::Inventory => ["events.order", "events.payment"],
            Self::Payment => ["events.stock", "events.order"],
            Self::Order => ["events.stock", "events.payment"],
        }
    }

    fn handles(self, event_type: &str) -> bool {
        match self {
            Self::Inventory => {
                matches!(event_type, "OrderCreated" | "OrderCancelled" | "PaymentFailed")
            }
            Self::Payment => matches!(event_type, "StockReserved" | "OrderCancelled"),
            Self::Order => matches!(event_type, "StockRejected" | "StockReleased" | "PaymentTaken"),
        }
    }

    /// Whether there are so many of these that they are handled together (many.rs).
    fn is_often(self, event_type: &str) -> bool {
        match self {
            Self::Inventory => event_type == "OrderCreated",
            Self::Payment => event_type == "StockReserved",
            Self::Order => self.handles(event_type),
        }
    }
}

/// One step.
#[derive(Debug, Clone)]
pub struct Saga {
    step: Step,
    rules: Rules,
    pool: Pool,
    inbox: Inbox,
    outbox: Outbox,
}

/// What a step has to tell: the aggregate's type and the event's, and why.
type Told = Option<(&'static str, &'static str, Option<String>)>;

/// A transaction that handles one event.
struct Work<'a> {
    transaction: &'a Transaction<'a>,
    event: &'a OrderEvent,
    rules: Rules,
}

impl Saga {
    /// A step over the tables of `schema.sql` and an outbox.
    pub fn new(step: Step, rules: Rules, pool: Pool, inbox: Inbox, outbox: Outbox) -> Self {
        Self { step, rules, pool, inbox, outbox }
    }

    /// The event of an entry; `None` when it is none of this step's business.
    fn read(&self, entry: &Entry) -> Result<Option<(Uuid, OrderEvent)>, HandlerError> {
        if !self.step.handles(&entry.kind) {
            return Ok(None);
        }
        let not_uuid =
            |_| HandlerError::Permanent(format!("event id {:?} is no UUID", entry.event_id));
        Ok(Some((entry.event_id.parse().map_err(not_uuid)?, entry.json()?)))
    }

    async fn once(
        &self,
        event_id: Uuid,
        entry: &Entry,
        event: &OrderEvent,
    ) -> Result<Handled, Failed> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let first = self.inbox.first_time_prepared(&transaction, event_id).await;
        if !first.map_err(|error| Failed::bookkeeping(&error))? {
            return Ok(Handled::Duplicate);
        }
        let work = Work { transaction: &transaction, event, rules: self.rules };
        let told = match self.step {
            Step::Inventory => work.stock(&entry.kind).await?,
            Step::Payment => Some(work.pay(&entry.kind).await?),
            Step::Order => Some(work.decide(&entry.kind).await?),
        };
        let Some(told) = told else {
            // The inbox knows it again from here on.
            transaction.commit().await?;
            return Ok(Handled::Duplicate);
        };
        if let Some((aggregate_type, event_type, reason)) = told {
            self.tell(
                &transaction,
                aggregate_type,
                &event.followed_by(event_type, reason),
                trace_of(entry),
            )
            .await?;
        }
        transaction.commit().await?;
        Ok(Handled::Done)
    }

    async fn tell(
        &self,
        transaction: &Transaction<'_>,
        aggregate_type: &str,
        event: &OrderEvent,
        headers: Map<String, Value>,
    ) -> Result<(), Failed> {
        let event_id = event.event_id;
        let event = NewEvent::new(aggregate_type, &event.aggregate_id, &event.event_type, event)
            .id(event_id)
            .headers(headers);
        let insert = transaction.prepare_cached(self.outbox.insert_sql()).await?;
        self.outbox.prepared(insert).write(transaction, &event).await?;
        Ok(())
    }
}

impl Handler for Saga {
    async fn handle(&self, entry: &Entry) -> Result<Handled, HandlerError> {
        match self.read(entry)? {
            Some((event_id, event)) => {
                self.once(event_id, entry, &event).await.map_err(HandlerError::from)
            }
            None => Ok(Handled::Ignored),
        }
    }

    async fn probe(&self) -> Result<(), String> {
        let client = self.pool.get().await.map_err(|error| describe_pool(&error))?;
        client.batch_execute("select 1").await.map_err(|error| describe(&error))
    }

    async fn handle_many(&self, entries: &[Entry]) -> Vec<Option<Result<Handled, HandlerError>>> {
        self.handle_entries(entries).await
    }
}

impl OrderEvent {
    /// What comes of this event: the same order, told on under another name.
    fn followed_by(&self, event_type: &str, reason: Option<String>) -> Self {
        let (event_id, occurred_at) = (Uuid::now_v7(), Timestamp::now());
        Self { event_id, event_type: event_type.to_owned(), occurred_at, reason, ..self.clone() }
    }
}

/// The trace goes on in what follows.
fn trace_of(entry: &Entry) -> Map<String, Value> {
    let carried = entry
        .headers
        .iter()
        .filter(|(name, _)| matches!(name.as_str(), "traceparent" | "tracestate"));
    carried.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// How many of each sku, in the order of the skus.
fn quantities(items: &[Item]) -> (Vec<&str>, Vec<i64>) {
    let mut wanted: BTreeMap<&str, i64> = BTreeMap::new();
    for item in items {
        *wanted.entry(item.sku.as_str()).or_default() += i64::from(item.quantity);
    }
    wanted.into_iter().unzip()
}

/// Why an event was not handled.
struct Failed(HandlerError);

impl Failed {
    /// Events cannot be handled together, for a reason that is no fault.
    fn undone(why: &str) -> Self {
        Self(HandlerError::Retry(why.to_owned()))
    }

    fn bookkeeping(error: &Error) -> Self {
        Self(HandlerError::of_bookkeeping(error))
    }
}

impl From<Failed> for HandlerError {
    fn from(Failed(error): Failed) -> Self {
        error
    }
}

impl From<PoolError> for Failed {
    fn from(error: PoolError) -> Self {
        Self(HandlerError::Unavailable(describe_pool(&error)))
    }
}

impl From<WriteError> for Failed {
    fn from(error: WriteError) -> Self {
        match error {
            // A column that we do not know and that must not be null: no event could be written.
            WriteError::Database { source, .. }
                if source.code() == Some(&SqlState::NOT_NULL_VIOLATION) =>
            {
                Self::bookkeeping(&source)
            }
            WriteError::Database { source, .. } => source.into(),
            // No event could be written.
            WriteError::Discarded { .. } => Self(HandlerError::Unavailable(error.to_string())),
            other => Self(HandlerError::Permanent(other.to_string())),
        }
    }
}

/// Decided by SQLSTATE: what the server could not do is not the entry's fault.
impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(HandlerError::of_postgres(&error))
    }
}
