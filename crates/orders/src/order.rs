//! The nouns: an order, its items, and the event that tells about it. No I/O.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::money;

/// The aggregate type of every event of an order; the relay makes the stream's name of it.
pub const AGGREGATE_TYPE: &str = "order";
/// An order was placed.
pub const ORDER_CREATED: &str = "OrderCreated";
/// An order is paid for, and what it wants is reserved.
pub const ORDER_CONFIRMED: &str = "OrderConfirmed";
/// An order wants more than there is.
pub const ORDER_REJECTED: &str = "OrderRejected";
/// An order was cancelled.
pub const ORDER_CANCELLED: &str = "OrderCancelled";

/// What a customer asks for: checked, priced, not yet stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// Whose order it is.
    pub customer_id: String,
    /// Three upper-case letters.
    pub currency: String,
    /// At least one.
    pub items: Vec<Item>,
}

/// A position of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What is ordered.
    pub sku: String,
    /// How many, at least 1.
    pub quantity: u32,
    /// The price of one, with two decimals; a string in JSON.
    #[serde(with = "rust_decimal::serde::str")]
    pub unit_price: Decimal,
}

/// Where an order is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Placed; stock and payment are not decided yet.
    Created,
    /// Reserved and paid.
    Confirmed,
    /// There is not enough of something: final.
    Rejected,
    /// Cancelled: final.
    Cancelled,
}

/// A stored order, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Order {
    /// Its id, a UUID v7.
    pub order_id: Uuid,
    /// Whose it is.
    pub customer_id: String,
    /// Where it is in its life.
    pub status: Status,
    /// Three upper-case letters.
    pub currency: String,
    /// Its positions.
    pub items: Vec<Item>,
    /// The sum over the items of quantity × unit price, with two decimals; a string in JSON.
    #[serde(with = "rust_decimal::serde::str")]
    pub total_amount: Decimal,
    /// When it was placed.
    pub created_at: Timestamp,
}

/// The payload of an order's events: everything that a consumer needs, so that none has to ask
/// back.
///
/// Readers ignore fields that they do not know: new ones may be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderEvent {
    /// The same as the outbox row's.
    pub event_id: Uuid,
    /// What happened: [`ORDER_CREATED`] and so on, or what a step of the [`saga`](super::saga)
    /// tells.
    pub event_type: String,
    /// The order's id, as the ordering key.
    pub aggregate_id: String,
    /// When it happened: the time of the transaction.
    pub occurred_at: Timestamp,
    /// The order's id.
    pub order_id: Uuid,
    /// Whose order it is.
    pub customer_id: String,
    /// As in [`Order`].
    #[serde(with = "rust_decimal::serde::str")]
    pub total_amount: Decimal,
    /// As in [`Order`].
    pub currency: String,
    /// As in [`Order`].
    pub items: Vec<Item>,
    /// Why, where there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl NewOrder {
    /// The sum of what the items cost. Exact: the limits on an order keep it far below what a
    /// [`Decimal`] can hold.
    pub fn total_amount(&self) -> Decimal {
        let mut total: Decimal =
            self.items.iter().map(|item| item.unit_price * Decimal::from(item.quantity)).sum();
        // A sum of zeros is "0".
        total.rescale(money::DECIMALS);
        total
    }
}

impl Status {
    /// The name it has in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Created, Self::Confirmed, Self::Rejected, Self::Cancelled]
            .into_iter()
            .find(|status| status.name() == name)
    }
}

impl OrderEvent {
    /// What to say about `order`, under a new event id.
    pub fn about(order: &Order, event_type: &'static str, occurred_at: Timestamp) -> Self {
        Self {
            event_id: Uuid::now_v7(),
            event_type: event_type.to_owned(),
            aggregate_id: order.order_id.to_string(),
            occurred_at,
            order_id: order.order_id,
            customer_id: order.customer_id.clone(),
            total_amount: order.total_amount,
            currency: order.currency.clone(),
            items: order.items.clone(),
            reason: None,
        }
    }
}
