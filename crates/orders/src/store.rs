//! Orders in Postgres: each change of an order and its event are one transaction.

use std::time::Duration;

use deadpool_postgres::{Object, Pool, Transaction};
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::idempotency::{Known, Once};
use super::listing::{Listing, Page};
use super::money;
use super::order::{
    AGGREGATE_TYPE, NewOrder, ORDER_CANCELLED, ORDER_CREATED, Order, OrderEvent, Status,
};
use outflow_connect::postgres::describe;
use outflow_producer::NewEvent;
use outflow_producer::tokio_postgres::Outbox;

pub use super::store_error::StoreError;

const INSERT: &str = include_str!("sql/insert_order.sql");
const LIST: &str = include_str!("sql/list_orders.sql");
const SELECT: &str = include_str!("sql/select_order.sql");
const LOCK: &str = include_str!("sql/lock_order.sql");
const CANCEL: &str = include_str!("sql/cancel_order.sql");

/// Where orders and their events are kept.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    outbox: Outbox,
    idempotency_keep: Duration,
}

/// What became of a wish to place an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is placed: the order as JSON.
    Now(Uuid, String),
    /// The same request had placed it before: the order as JSON, as it was then.
    Before(String),
    /// Its idempotency key was used with another body: nothing was done.
    OtherBody,
    /// A request with its idempotency key is under way: nothing was done.
    InProgress,
}

/// What became of a wish to cancel an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// It is cancelled now.
    Now(Order),
    /// It was cancelled or rejected before: nothing was done.
    Before(Status),
    /// There is no such order.
    Unknown,
}

impl Store {
    /// A store over the tables of `schema.sql` and an outbox, which knows idempotency keys for so
    /// long.
    pub fn new(pool: Pool, outbox: Outbox, idempotency_keep: Duration) -> Self {
        Self { pool, outbox, idempotency_keep }
    }

    /// Stores an order together with its event, and with the answer if there is a key to know it
    /// by.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn create(
        &self,
        new: NewOrder,
        once: Option<Once<'_>>,
        headers: Map<String, Value>,
    ) -> Result<Created, StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        if let Some(once) = &once {
            let before = match once.look(&transaction, self.idempotency_keep).await? {
                Known::New => None,
                Known::Answered(response) => Some(Created::Before(response)),
                Known::OtherBody => Some(Created::OtherBody),
                Known::InProgress => Some(Created::InProgress),
            };
            if let Some(before) = before {
                // The next request with the key may come as soon as this one is answered, and would
                // find it in progress if the rollback was still on its way.
                transaction.rollback().await?;
                return Ok(before);
            }
        }
        let (order_id, total_amount) = (Uuid::now_v7(), new.total_amount());
        let items = serde_json::to_string(&new.items)
            .map_err(|error| StoreError::Broken(error.to_string()))?;
        let insert = transaction.prepare_cached(INSERT).await?;
        let row = transaction
            .query_one(
                &insert,
                &[&order_id, &new.customer_id, &new.currency, &items, &total_amount],
            )
            .await?;
        let created_at: Timestamp = row.try_get(0)?;
        let NewOrder { customer_id, currency, items } = new;
        let order = Order {
            order_id,
            customer_id,
            status: Status::Created,
            currency,
            items,
            total_amount,
            created_at,
        };
        self.tell(&transaction, &OrderEvent::about(&order, ORDER_CREATED, created_at), headers)
            .await?;
        let response =
            serde_json::to_string(&order).map_err(|error| StoreError::Broken(error.to_string()))?;
        if let Some(once) = &once {
            once.keep(&transaction, &response).await?;
        }
        commit(transaction, order_id).await?;
        Ok(Created::Now(order_id, response))
    }

    /// A page of orders.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn list(&self, listing: &Listing) -> Result<Page, StoreError> {
        let client = self.client().await?;
        let limit = i64::from(listing.limit) + 1;
        let status = listing.status.map(Status::name);
        let args: [(&(dyn ToSql + Sync), Type); 4] = [
            (&listing.customer_id, Type::TEXT),
            (&status, Type::TEXT),
            (&listing.before, Type::UUID),
            (&limit, Type::INT8),
        ];
        let rows = client.query_typed(LIST, &args).await?;
        let orders: Vec<Order> = rows.iter().map(order_of).collect::<Result<_, _>>()?;
        Ok(Page::of(orders, listing.limit))
    }

    /// The order, if there is one of that id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn find(&self, order_id: Uuid) -> Result<Option<Order>, StoreError> {
        let client = self.client().await?;
        let select = client.prepare_cached(SELECT).await?;
        client.query_opt(&select, &[&order_id]).await?.map(|row| order_of(&row)).transpose()
    }

    /// Cancels an order, together with its event, unless it is cancelled already.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn cancel(
        &self,
        order_id: Uuid,
        headers: Map<String, Value>,
    ) -> Result<Cancelled, StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let lock = transaction.prepare_cached(LOCK).await?;
        let Some(row) = transaction.query_opt(&lock, &[&order_id]).await? else {
            return Ok(Cancelled::Unknown);
        };
        let mut order = order_of(&row)?;
        match order.status {
            Status::Cancelled | Status::Rejected => return Ok(Cancelled::Before(order.status)),
            Status::Created | Status::Confirmed => order.status = Status::Cancelled,
        }
        let cancel = transaction.prepare_cached(CANCEL).await?;
        let cancelled_at: Timestamp =
            transaction.query_one(&cancel, &[&order_id]).await?.try_get(0)?;
        self.tell(&transaction, &OrderEvent::about(&order, ORDER_CANCELLED, cancelled_at), headers)
            .await?;
        commit(transaction, order_id).await?;
        Ok(Cancelled::Now(order))
    }

    /// Whether orders and events can be kept: both tables are there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn check(&self) -> Result<(), StoreError> {
        self.find(Uuid::nil()).await?;
        let client = self.client().await?;
        if self.outbox.exists(&**client).await? { Ok(()) } else { Err(StoreError::NotMigrated) }
    }

    async fn client(&self) -> Result<Object, StoreError> {
        self.pool.get().await.map_err(|error| StoreError::from(&error))
    }

    async fn tell(
        &self,
        transaction: &Transaction<'_>,
        event: &OrderEvent,
        headers: Map<String, Value>,
    ) -> Result<(), StoreError> {
        let event_id = event.event_id;
        let event = NewEvent::new(AGGREGATE_TYPE, &event.aggregate_id, &event.event_type, event)
            .id(event_id)
            .headers(headers);
        let insert = transaction.prepare_cached(self.outbox.insert_sql()).await?;
        self.outbox.prepared(insert).write(transaction, &event).await?;
        Ok(())
    }
}

async fn commit(transaction: Transaction<'_>, order_id: Uuid) -> Result<(), StoreError> {
    transaction.commit().await.map_err(|error| match error.code() {
        Some(_refused) => error.into(),
        None => StoreError::Unknown(order_id, describe(&error)),
    })
}

fn order_of(row: &Row) -> Result<Order, StoreError> {
    let broken = |what: &str| StoreError::Broken(format!("an order in the table has {what}"));
    let (status, items): (&str, &str) = (row.try_get("status")?, row.try_get("items")?);
    let mut total_amount: Decimal = row.try_get("total_amount")?;
    total_amount.rescale(money::DECIMALS);
    Ok(Order {
        order_id: row.try_get("order_id")?,
        customer_id: row.try_get("customer_id")?,
        status: Status::from_name(status).ok_or_else(|| broken("an unknown status"))?,
        currency: row.try_get("currency")?,
        items: serde_json::from_str(items).map_err(|_| broken("items of another form"))?,
        total_amount,
        created_at: row.try_get("created_at")?,
    })
}
