//! With sea-orm 1.1.
//!
//! Of the two wide-spread ORMs, sea-orm has a type that proves a transaction. diesel-async runs a
//! transaction in a closure that gets the same `AsyncPgConnection` as code outside of one.
//!
//! Only a transaction can be written to:
//!
//! ```
//! # use outflow_producer::{NewEvent, sea_orm::{Outbox, WriteError}};
//! async fn write(
//!     outbox: &Outbox,
//!     connection: &sea_orm::DatabaseTransaction,
//!     event: &NewEvent<'_, str>,
//! ) -> Result<(), WriteError> {
//!     outbox.write(connection, event).await.map(drop)
//! }
//! ```
//!
//! The same with a connection does not compile:
//!
//! ```compile_fail
//! # use outflow_producer::{NewEvent, sea_orm::{Outbox, WriteError}};
//! async fn write(
//!     outbox: &Outbox,
//!     connection: &sea_orm::DatabaseConnection,
//!     event: &NewEvent<'_, str>,
//! ) -> Result<(), WriteError> {
//!     outbox.write(connection, event).await.map(drop)
//! }
//! ```

use std::sync::Arc;

use ::sea_orm::sea_query::{ArrayType, Value};
use ::sea_orm::{DbBackend, RuntimeErr, Statement};
use outflow_core::table_name::BadTableName;
use serde::Serialize;
use uuid::Uuid;

use crate::error::Said;
use crate::event::NewEvent;
use crate::rows::{Row, Rows};
use crate::said;
use crate::statements::{EXISTS, Statements};

pub use ::sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};

/// Why an event was not written.
pub type WriteError = crate::WriteError<DbErr>;

/// An outbox table with the columns of Outflow's default table, `public.outbox` unless named.
///
/// Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    statements: Arc<Statements>,
}

impl Outbox {
    /// Names the table: `sales.outbox`, `"Sales"."Outbox"`, or `outbox` for `public.outbox`. The
    /// name is quoted, so it is case-sensitive. The table is not looked up.
    ///
    /// # Errors
    /// [`BadTableName`] if the text is not a table name.
    pub fn new(table: &str) -> Result<Self, BadTableName> {
        Ok(Self { statements: Arc::new(Statements::new(table)?) })
    }

    /// Returns whether the table exists, for readiness probes. Needs no privilege on the table,
    /// only on its schema.
    ///
    /// # Errors
    /// If Postgres refuses the query or cannot be reached.
    pub async fn exists<C: ConnectionTrait>(&self, connection: &C) -> Result<bool, DbErr> {
        let table = Value::from(self.statements.table.as_str());
        let query = Statement::from_sql_and_values(DbBackend::Postgres, EXISTS, [table]);
        let row = connection.query_one(query).await?;
        row.ok_or(DbErr::RecordNotFound(EXISTS.to_owned()))?.try_get_by_index(0)
    }

    /// Writes an event and returns its id. Pass the transaction that writes the business rows.
    ///
    /// One round trip; sqlx prepares the statement once per connection, in a round trip of its own.
    ///
    /// # Errors
    /// See [`WriteError`](crate::WriteError).
    pub async fn write<P: Serialize + ?Sized>(
        &self,
        transaction: &DatabaseTransaction,
        event: &NewEvent<'_, P>,
    ) -> Result<Uuid, WriteError> {
        let row = Row::of(event).map_err(WriteError::Payload)?;
        let args: [Value; 6] = [
            row.event_id.into(),
            row.aggregate_type.into(),
            row.aggregate_id.into(),
            row.event_type.into(),
            row.payload.into(),
            row.headers.into(),
        ];
        self.execute(transaction, &self.statements.insert, args, 1).await?;
        Ok(row.event_id)
    }

    /// Writes several events in one statement, at a fraction of the cost of one call each. Their
    /// order is the order of the slice.
    ///
    /// # Errors
    /// See [`WriteError`](crate::WriteError). If one payload cannot be serialized, nothing was
    /// sent.
    pub async fn write_many<P: Serialize + ?Sized>(
        &self,
        transaction: &DatabaseTransaction,
        events: &[NewEvent<'_, P>],
    ) -> Result<(), WriteError> {
        let rows = Rows::of(events).map_err(WriteError::Payload)?;
        if rows.len() == 0 {
            return Ok(());
        }
        let events = rows.len();
        let args = [
            array(ArrayType::Uuid, rows.event_ids),
            array(ArrayType::String, rows.aggregate_types),
            array(ArrayType::String, rows.aggregate_ids),
            array(ArrayType::String, rows.event_types),
            array(ArrayType::String, rows.payloads),
            array(ArrayType::String, rows.headers),
        ];
        self.execute(transaction, &self.statements.insert_many, args, events).await
    }

    async fn execute(
        &self,
        transaction: &DatabaseTransaction,
        sql: &str,
        args: [Value; 6],
        events: usize,
    ) -> Result<(), WriteError> {
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, args);
        let written = transaction.execute(statement).await.map_err(|error| {
            WriteError::of_database(&self.statements.table, said_by(&error), error)
        })?;
        WriteError::check(&self.statements.table, events, written.rows_affected())
    }
}

fn array<T: Into<Value>>(of: ArrayType, values: Vec<T>) -> Value {
    Value::Array(of, Some(Box::new(values.into_iter().map(Into::into).collect())))
}

fn said_by(error: &DbErr) -> Said {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => said::said(error),
        other => Said::by_driver(other, matches!(other, DbErr::ConnectionAcquire(_))),
    }
}
