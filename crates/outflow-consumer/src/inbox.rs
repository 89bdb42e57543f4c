//! Effects once: a table of the events that a group has handled, written in the transaction of the
//! effect.

mod cleaning;

use std::collections::HashSet;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

use super::event_id::EventId;
use outflow_connect::postgres::describe;
use outflow_core::table_name::{BadTableName, TableName, quote_identifier, quote_literal};

const DDL: &str = include_str!("inbox/ddl.sql");
const INSERT: &str = include_str!("inbox/insert.sql");
const INSERT_MANY: &str = include_str!("inbox/insert_many.sql");
const CLEAN: &str = include_str!("inbox/clean.sql");
/// Only the session with this lock creates an inbox: `create … if not exists` fails if two sessions
/// do it at once. Any number that never changes will do.
const LOCK: &str = "select pg_catalog.pg_advisory_xact_lock(482931776)";

/// A table of the events that consumer groups have handled. [`Inbox::ddl`] is its definition.
///
/// Its rows must be kept for as long as an event can come back: the retention of the stream, and
/// that of whatever may be put back into it. Old rows are deleted in batches
/// ([`Inbox::keep_clean`]), not by dropping partitions. A table that is partitioned by time cannot
/// have a unique index without the time in it, and would take an event a second time in the next
/// partition.
#[derive(Debug, Clone)]
pub struct Inbox {
    ddl: String,
    insert: String,
    insert_many: String,
    clean: String,
    group: String,
}

/// A statement of an inbox failed. The transaction can only be rolled back.
///
/// A [`HandlerError`](super::HandlerError) made of it never blames the entry: the statement writes
/// nothing of the entry but its id.
#[derive(Debug, thiserror::Error)]
#[error("the inbox: {}", describe(.0))]
pub struct InboxError(#[source] tokio_postgres::Error);

impl InboxError {
    /// What Postgres, or the connection to it, said.
    pub fn postgres(&self) -> &tokio_postgres::Error {
        &self.0
    }
}

impl Inbox {
    /// The inbox of a consumer group in a table such as `public.inbox`. Several groups may share a
    /// table: each handles each event once.
    ///
    /// # Errors
    /// [`BadTableName`] when `table` is not a table's name.
    pub fn new(table: &str, group: impl Into<String>) -> Result<Self, BadTableName> {
        let name = table.parse::<TableName>()?;
        let quoted = name.quoted();
        let index = quote_identifier(&format!("{}_expiry", name.table()));
        let literal = quote_literal(&quoted);
        let with_table = |sql: &str| {
            sql.replace("{table}", &quoted)
                .replace("{index}", &index)
                .replace("{literal}", &literal)
        };
        Ok(Self {
            ddl: with_table(DDL),
            insert: with_table(INSERT),
            insert_many: with_table(INSERT_MANY),
            clean: with_table(CLEAN),
            group: group.into(),
        })
    }

    /// The statement that creates the table with its index if the table does not exist, for your
    /// own migrations. It does not create the schema.
    pub fn ddl(&self) -> &str {
        &self.ddl
    }

    /// Creates the table with its index if the table does not exist, in one transaction. Several
    /// sessions may do so at once. Needs the right to create in the schema only if it creates.
    ///
    /// # Errors
    /// [`InboxError`] if Postgres refuses or cannot be reached.
    pub async fn migrate(&self, client: &Client) -> Result<(), InboxError> {
        // One message is one transaction.
        let all = format!("begin;\n{LOCK};\n{}\ncommit", self.ddl);
        let migrated = client.batch_execute(&all).await;
        if migrated.is_err() {
            // Fails if the connection is gone, and the transaction with it.
            let _ = client.batch_execute("rollback").await;
        }
        migrated.map_err(InboxError)
    }

    /// Notes the event as handled, and returns whether it was not before. Call it first in the
    /// transaction of the effect; on `false`, make no effect. If another transaction is handling
    /// the same event, this waits for its end.
    ///
    /// One round trip; nothing is prepared, so that it works through a transaction pooler too.
    ///
    /// # Errors
    /// [`InboxError`] if Postgres refuses or cannot be reached.
    pub async fn first_time(
        &self,
        transaction: &Transaction<'_>,
        event_id: &EventId,
    ) -> Result<bool, InboxError> {
        let event_id = event_id.as_uuid();
        let args: [(&(dyn ToSql + Sync), Type); 2] =
            [(&self.group, Type::TEXT), (&event_id, Type::UUID)];
        let rows = transaction.execute_typed(&self.insert, &args).await.map_err(InboxError)?;
        Ok(rows == 1)
    }

    /// As [`Inbox::first_time`] for several events in one statement, for a
    /// [`handle_many`](super::Handler::handle_many) that makes their effects in one transaction.
    /// Returns, for each event in order, whether it was not handled before. Of an event that is
    /// given twice, the first one counts.
    ///
    /// # Errors
    /// [`InboxError`] if Postgres refuses or cannot be reached.
    pub async fn first_times(
        &self,
        transaction: &Transaction<'_>,
        event_ids: &[&EventId],
    ) -> Result<Vec<bool>, InboxError> {
        let event_ids: Vec<Uuid> = event_ids.iter().map(|id| id.as_uuid()).collect();
        let args: [(&(dyn ToSql + Sync), Type); 2] =
            [(&self.group, Type::TEXT), (&event_ids, Type::UUID_ARRAY)];
        let rows = transaction.query_typed(&self.insert_many, &args).await.map_err(InboxError)?;
        let fresh = rows.iter().map(|row| row.try_get(0)).collect::<Result<HashSet<Uuid>, _>>();
        let mut fresh = fresh.map_err(InboxError)?;
        Ok(event_ids.iter().map(|id| fresh.remove(id)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Inbox;

    #[test]
    fn names_are_quoted_in_every_statement() {
        let inbox = Inbox::new("app.\"in box\"", "group").expect("a name");
        for statement in [&inbox.ddl, &inbox.insert, &inbox.insert_many, &inbox.clean] {
            assert!(statement.contains("\"app\".\"in box\""), "{statement}");
            assert!(!statement.contains('{'), "{statement}");
        }
        assert!(inbox.ddl().contains("\"in box_expiry\""), "{}", inbox.ddl());
    }
}
