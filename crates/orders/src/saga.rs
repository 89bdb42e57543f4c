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

use deadpool_postgres::{Pool, Transaction};
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::order::{Item, OrderEvent};
use outflow_consumer::{BoxError, Entry, Handled, Handler, HandlerError, Inbox};
use outflow_producer::NewEvent;
use outflow_producer::tokio_postgres::{Outbox, WriteError};

/// The inbox table.
pub const INBOX: &str = "orders.inbox";

/// The steps, each a consumer group of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    /// Reserve stock, and release it if the order fails
    Inventory,
    /// Take the payment, and refund it if the order fails
    Payment,
    /// Confirm, reject or cancel the order
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

    /// The types of the events that it handles.
    pub fn event_types(self) -> &'static [&'static str] {
        match self {
            Self::Inventory => &["OrderCreated", "OrderCancelled", "PaymentFailed"],
            Self::Payment => &["StockReserved", "OrderCancelled"],
            Self::Order => &["StockRejected", "StockReleased", "PaymentTaken"],
        }
    }

    fn handles(self, event_type: &str) -> bool {
        self.event_types().contains(&event_type)
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
    fn read(&self, entry: &Entry) -> Result<Option<OrderEvent>, HandlerError> {
        if !self.step.handles(&entry.event_type) {
            return Ok(None);
        }
        entry.json().map(Some)
    }

    async fn once(&self, entry: &Entry, event: &OrderEvent) -> Result<Handled, HandlerError> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        if !self.inbox.first_time(&transaction, &entry.event_id).await? {
            return Ok(Handled::Duplicate);
        }
        let work = Work { transaction: &transaction, event, rules: self.rules };
        let told = match self.step {
            Step::Inventory => work.stock(&entry.event_type).await?,
            Step::Payment => Some(work.pay(&entry.event_type).await?),
            Step::Order => Some(work.decide(&entry.event_type).await?),
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
                entry.trace_headers(),
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
    ) -> Result<(), HandlerError> {
        let event_id = event.event_id;
        let event = NewEvent::new(aggregate_type, &event.aggregate_id, &event.event_type, event)
            .id(event_id)
            .headers(headers);
        let insert = transaction.prepare_cached(self.outbox.insert_sql()).await?;
        self.outbox.prepared(insert).write(transaction, &event).await.map(drop).map_err(unwritten)
    }
}

impl Handler for Saga {
    async fn handle(&self, entry: &Entry) -> Result<Handled, HandlerError> {
        match self.read(entry)? {
            Some(event) => self.once(entry, &event).await,
            None => Ok(Handled::Ignored),
        }
    }

    async fn probe(&self) -> Result<(), BoxError> {
        self.pool.get().await?.batch_execute("select 1").await?;
        Ok(())
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

/// How many of each sku, in the order of the skus.
fn quantities(items: &[Item]) -> (Vec<&str>, Vec<i64>) {
    let mut wanted: BTreeMap<&str, i64> = BTreeMap::new();
    for item in items {
        *wanted.entry(item.sku.as_str()).or_default() += i64::from(item.quantity);
    }
    wanted.into_iter().unzip()
}

/// What an error of the outbox means for the event that met it.
fn unwritten(error: WriteError) -> HandlerError {
    match error {
        // A column that we do not know and that must not be null: no event could be written.
        WriteError::Database { source, .. }
            if source.code() == Some(&SqlState::NOT_NULL_VIOLATION) =>
        {
            HandlerError::bookkeeping(source)
        }
        WriteError::Database { source, .. } => source.into(),
        // No event could be written.
        WriteError::Discarded { .. } => HandlerError::unavailable(error),
        other => HandlerError::permanent(other),
    }
}
