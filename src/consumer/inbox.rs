//! Effects once: a table of the events that were handled, written in the transaction of the effect.

use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::table_name::{BadTableName, TableName};

/// An inbox table: `(consumer_group text, event_id uuid, handled_at timestamptz default now(), primary key
/// (consumer_group, event_id))`.
///
/// Its rows must be kept for as long as an event can come back: the retention of the stream, and of whatever may be
/// replayed into it.
#[derive(Debug, Clone)]
pub struct Inbox {
    insert: String,
    group: String,
}

impl Inbox {
    /// The inbox of a consumer group. Each group handles each event once.
    ///
    /// # Errors
    /// [`BadTableName`] when `table` is no table's name.
    pub fn new(table: &str, group: &str) -> Result<Self, BadTableName> {
        let table = table.parse::<TableName>()?.quoted();
        let insert = format!("insert into {table} (consumer_group, event_id) values ($1, $2) on conflict do nothing");
        Ok(Self { insert, group: group.to_owned() })
    }

    /// Notes the event as handled, and says whether it was not before. Call it first in the transaction of the effect; on
    /// `false`, make no effect. Another transaction that handles the same event at the same time is waited for.
    ///
    /// # Errors
    /// When Postgres refuses or cannot be reached.
    pub async fn first_time<C: GenericClient + Sync>(
        &self,
        transaction: &C,
        event_id: Uuid,
    ) -> Result<bool, tokio_postgres::Error> {
        let rows =
            transaction.execute_typed(&self.insert, &[(&self.group, Type::TEXT), (&event_id, Type::UUID)]).await?;
        Ok(rows == 1)
    }
}
