//! Writing events into an outbox table, inside the transaction of the application.
//!
//! The event is committed with the rows that it tells about, or not at all; the relay publishes it
//! afterwards. Any Rust service on tokio-postgres (or deadpool-postgres, whose transactions
//! dereference to tokio-postgres') can use it:
//!
//! ```no_run
//! use outflow_producer::{NewEvent, Outbox};
//!
//! async fn rename(client: &mut tokio_postgres::Client, id: i64, name: &str) -> Result<(), Box<dyn std::error::Error>> {
//!     let outbox = Outbox::new("public.outbox")?;
//!     let transaction = client.transaction().await?;
//!     transaction.execute("update customer set name = $2 where id = $1", &[&id, &name]).await?;
//!     let payload = serde_json::json!({ "customer_id": id, "name": name });
//!     let key = id.to_string();
//!     let event = NewEvent::new("customer", &key, "CustomerRenamed", &payload).header("source", "crm");
//!     outbox.write(&transaction, &event).await?;
//!     transaction.commit().await?;
//!     Ok(())
//! }
//! ```
//!
//! Order per key is the writers' to keep: two transactions that write events of one aggregate must
//! follow one another, by locking the aggregate's row first (the `update` above does), or the order
//! of their events is undefined.

use serde::Serialize;
use serde_json::{Map, Value};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Transaction};
use uuid::Uuid;

use outflow_core::table_name::{BadTableName, TableName};

/// An outbox table with the columns of Outflow's default one
/// (`event_id, aggregate_type, aggregate_id, event_type, payload, headers`; the others have
/// defaults).
#[derive(Debug, Clone)]
pub struct Outbox {
    table: String,
    insert: String,
    insert_many: String,
}

/// An event that is about to be written.
#[derive(Debug, Clone)]
pub struct NewEvent<'a, P: ?Sized> {
    /// What consumers recognise a repetition by. A new UUID v7 unless set.
    pub event_id: Uuid,
    /// What kind of thing it happened to; the relay's stream template may use it
    /// (`events.{aggregate_type}`).
    pub aggregate_type: &'a str,
    /// Which one it happened to: the ordering key.
    pub aggregate_id: &'a str,
    /// What happened.
    pub event_type: &'a str,
    /// Anything that serialises to JSON; a `serde_json::value::RawValue` passes as it is.
    pub payload: &'a P,
    /// Metadata such as `traceparent`; empty unless set.
    pub headers: Map<String, Value>,
}

impl<'a, P: Serialize + ?Sized> NewEvent<'a, P> {
    /// An event with a new id and no headers.
    pub fn new(
        aggregate_type: &'a str,
        aggregate_id: &'a str,
        event_type: &'a str,
        payload: &'a P,
    ) -> Self {
        let (event_id, headers) = (Uuid::now_v7(), Map::new());
        Self { event_id, aggregate_type, aggregate_id, event_type, payload, headers }
    }

    /// Sets the id, for payloads that repeat it.
    #[must_use]
    pub fn id(mut self, event_id: Uuid) -> Self {
        self.event_id = event_id;
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.headers.insert(name.to_owned(), value.into());
        self
    }
}

/// Why an event was not written. The transaction is good for nothing but a rollback after
/// [`WriteError::Postgres`].
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The payload cannot be expressed in JSON; nothing was sent.
    #[error("the payload cannot be serialised: {0}")]
    Payload(#[from] serde_json::Error),
    /// Postgres refused the row or cannot be reached.
    #[error("the event cannot be written: {}", described(.0))]
    Postgres(#[from] tokio_postgres::Error),
}

/// The server's own words where there are some, not only "db error".
fn described(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned())
}

impl Outbox {
    /// Names the table: `public.outbox`, or `outbox` for the same. Quoted safely; it is not looked
    /// up.
    ///
    /// # Errors
    /// [`BadTableName`] when it is no table's name.
    pub fn new(table: &str) -> Result<Self, BadTableName> {
        let table = table.parse::<TableName>()?.quoted();
        // JSON goes as text: numbers reach Postgres digit by digit, never through a float.
        let insert = format!(
            "insert into {table} (event_id, aggregate_type, aggregate_id, event_type, payload, \
                headers) \
             values ($1, $2, $3, $4, $5::text::jsonb, $6::text::jsonb)"
        );
        let insert_many = format!(
            "insert into {table} (event_id, aggregate_type, aggregate_id, event_type, payload, \
                headers) \
             select event_id, aggregate_type, aggregate_id, event_type, payload::jsonb, \
             headers::jsonb \
             from unnest($1, $2, $3, $4, $5, $6) with ordinality \
             as given (event_id, aggregate_type, aggregate_id, event_type, payload, headers, \
             place) order by place"
        );
        Ok(Self { table, insert, insert_many })
    }

    /// Whether the table is there, for readiness probes. Needs no privilege on it, only on its
    /// schema.
    ///
    /// # Errors
    /// When Postgres refuses or cannot be reached.
    pub async fn exists<C: GenericClient + Sync>(
        &self,
        client: &C,
    ) -> Result<bool, tokio_postgres::Error> {
        let query = "select to_regclass($1) is not null";
        client.query_typed_one(query, &[(&self.table, Type::TEXT)]).await?.try_get(0)
    }

    /// Writes the event and returns its id. Give it the transaction that writes the business rows:
    /// with anything else the event may be published although the rows were rolled back, or lost
    /// although they were kept.
    ///
    /// One round trip; nothing is prepared, so that it works through a transaction pooler too.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write<P>(
        &self,
        transaction: &Transaction<'_>,
        event: &NewEvent<'_, P>,
    ) -> Result<Uuid, WriteError>
    where
        P: Serialize + ?Sized,
    {
        let payload = serde_json::to_string(event.payload)?;
        let headers = serde_json::to_string(&event.headers)?;
        transaction
            .execute_typed(
                &self.insert,
                &[
                    (&event.event_id, Type::UUID),
                    (&event.aggregate_type, Type::TEXT),
                    (&event.aggregate_id, Type::TEXT),
                    (&event.event_type, Type::TEXT),
                    (&payload, Type::TEXT),
                    (&headers, Type::TEXT),
                ],
            )
            .await?;
        Ok(event.event_id)
    }

    /// As [`Outbox::write`] for several events in one statement, at a fraction of the cost; they
    /// are published in this order.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was sent when one of the payloads cannot be serialised.
    pub async fn write_many<P>(
        &self,
        transaction: &Transaction<'_>,
        events: &[NewEvent<'_, P>],
    ) -> Result<(), WriteError>
    where
        P: Serialize + ?Sized,
    {
        let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
        let types: Vec<&str> = events.iter().map(|event| event.aggregate_type).collect();
        let keys: Vec<&str> = events.iter().map(|event| event.aggregate_id).collect();
        let names: Vec<&str> = events.iter().map(|event| event.event_type).collect();
        let json = events.iter().map(|event| {
            Ok((serde_json::to_string(event.payload)?, serde_json::to_string(&event.headers)?))
        });
        let (payloads, headers): (Vec<_>, Vec<_>) =
            json.collect::<Result<Vec<_>, serde_json::Error>>()?.into_iter().unzip();
        let args: [(&(dyn ToSql + Sync), Type); 6] = [
            (&ids, Type::UUID_ARRAY),
            (&types, Type::TEXT_ARRAY),
            (&keys, Type::TEXT_ARRAY),
            (&names, Type::TEXT_ARRAY),
            (&payloads, Type::TEXT_ARRAY),
            (&headers, Type::TEXT_ARRAY),
        ];
        transaction.execute_typed(&self.insert_many, &args).await?;
        Ok(())
    }
}
