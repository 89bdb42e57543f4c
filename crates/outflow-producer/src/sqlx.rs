//! With sqlx 0.8.
//!
//! Only a transaction can be written to:
//!
//! ```
//! # use outflow_producer::{NewEvent, sqlx::{Outbox, WriteError}};
//! async fn write(
//!     outbox: &Outbox,
//!     connection: &mut sqlx::Transaction<'_, sqlx::Postgres>,
//!     event: &NewEvent<'_, str>,
//! ) -> Result<(), WriteError> {
//!     outbox.write(connection, event).await.map(drop)
//! }
//! ```
//!
//! The same with a connection does not compile:
//!
//! ```compile_fail
//! # use outflow_producer::{NewEvent, sqlx::{Outbox, WriteError}};
//! async fn write(
//!     outbox: &Outbox,
//!     connection: &mut sqlx::PgConnection,
//!     event: &NewEvent<'_, str>,
//! ) -> Result<(), WriteError> {
//!     outbox.write(connection, event).await.map(drop)
//! }
//! ```

use std::sync::Arc;

use outflow_core::table_name::BadTableName;
use serde::Serialize;
use uuid::Uuid;

use crate::event::NewEvent;
use crate::rows::{Row, Rows};
use crate::said::said;
use crate::statements::{EXISTS, Statements};

pub use ::sqlx::{Error, Executor, Postgres, Transaction};

/// Why an event was not written.
pub type WriteError = crate::WriteError<Error>;

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
    pub async fn exists<'c, X>(&self, executor: X) -> Result<bool, Error>
    where
        X: Executor<'c, Database = Postgres>,
    {
        ::sqlx::query_scalar(EXISTS).bind(&self.statements.table).fetch_one(executor).await
    }

    /// Writes an event and returns its id. Pass the transaction that writes the business rows.
    ///
    /// One round trip; sqlx prepares the statement once per connection, in a round trip of its own.
    ///
    /// # Errors
    /// See [`WriteError`](crate::WriteError).
    pub async fn write<P: Serialize + ?Sized>(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        event: &NewEvent<'_, P>,
    ) -> Result<Uuid, WriteError> {
        let row = Row::of(event).map_err(WriteError::Payload)?;
        let written = ::sqlx::query(&self.statements.insert)
            .bind(row.event_id)
            .bind(row.aggregate_type)
            .bind(row.aggregate_id)
            .bind(row.event_type)
            .bind(&row.payload)
            .bind(&row.headers)
            .execute(&mut **transaction)
            .await
            .map_err(|error| self.failed(error))?;
        WriteError::check(&self.statements.table, 1, written.rows_affected())?;
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
        transaction: &mut Transaction<'_, Postgres>,
        events: &[NewEvent<'_, P>],
    ) -> Result<(), WriteError> {
        let rows = Rows::of(events).map_err(WriteError::Payload)?;
        if rows.len() == 0 {
            return Ok(());
        }
        let written = ::sqlx::query(&self.statements.insert_many)
            .bind(&rows.event_ids)
            .bind(&rows.aggregate_types)
            .bind(&rows.aggregate_ids)
            .bind(&rows.event_types)
            .bind(&rows.payloads)
            .bind(&rows.headers)
            .execute(&mut **transaction)
            .await
            .map_err(|error| self.failed(error))?;
        WriteError::check(&self.statements.table, rows.len(), written.rows_affected())
    }

    fn failed(&self, error: Error) -> WriteError {
        WriteError::of_database(&self.statements.table, said(&error), error)
    }
}
