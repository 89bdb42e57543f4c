//! Settling what the journal says was appended, by the columns that its writer named the rows by.

use std::collections::BTreeMap;

use tokio_postgres::GenericClient;

use super::PgRecovery;
use crate::relay::event::AppendedRow;
use crate::relay::outbox::OutboxError;
use crate::relay::outbox::columns;
use crate::relay::outbox::naming::{Naming, Settling, settle_recovered};
use crate::relay::outbox::refusal::failed;
use crate::relay::outbox::session::Session;
use crate::relay::outbox::unsettled::{self, Unsettled};

impl PgRecovery {
    /// Settles the rows that the journal says were appended, and those that were not let go before,
    /// where they still are. Returns how many there were, and which of them Postgres does not let
    /// go now.
    pub(super) async fn settle(
        &self,
        client: &Session,
        appended: &[AppendedRow],
    ) -> Result<(u64, Vec<Unsettled>), OutboxError> {
        let mut by_naming: BTreeMap<Vec<u8>, Vec<Unsettled>> = BTreeMap::new();
        for row in appended {
            by_naming.entry(row.names.to_vec()).or_default().push(Unsettled::of(row)?);
        }
        for row in &self.unsettled {
            by_naming.entry(row.names().as_bytes().to_vec()).or_default().push(row.clone());
        }
        let (mut settled, mut left) = (0, Vec::new());
        for (names, rows) in by_naming {
            let naming = self.naming(&names)?;
            let statement = self.statement(client.client(), &naming, rows.len()).await?;
            let (count, stay) = unsettled::settle(client, &statement, &rows).await?;
            settled += count;
            left.extend(stay.into_iter().map(|stays| stays.named_by(&naming)));
        }
        Ok((settled, left))
    }

    fn naming(&self, names: &[u8]) -> Result<Naming, OutboxError> {
        if names.is_empty() {
            return Ok(
                Naming::of_mapping(&self.found_mapping).unwrap_or_else(|| Naming::of(&self.config))
            );
        }
        serde_json::from_slice(names).map_err(|_| {
            OutboxError::Postgres(
                "the journal does not say by which columns its rows are named".to_owned(),
            )
        })
    }

    async fn statement(
        &self,
        client: &impl GenericClient,
        naming: &Naming,
        rows: usize,
    ) -> Result<Settling, OutboxError> {
        if *naming == Naming::of(&self.config) {
            return Ok(self.settle.clone());
        }
        let columns = columns::of_oid(client, self.oid).await.map_err(|error| failed(&error))?;
        let Naming { id, event_id } = naming;
        if [id, event_id].iter().all(|name| columns.iter().any(|column| column.name == **name)) {
            tracing::info!(
                outbox = self.config.name,
                id,
                event_id,
                rows,
                "settling rows by the columns of the configuration under which they were appended"
            );
            return Ok(settle_recovered(&self.config, &columns, self.oid, self.plain, naming));
        }
        let table = &self.config.table;
        Err(OutboxError::Postgres(format!(
            "the journal holds {rows} rows that were appended under another configuration, which \
                named them by the columns \
             {id:?} and {event_id:?}; {table} no longer has both, so that nobody can tell which \
             rows these are: give them \
             their columns back, or, if these events may be delivered twice, delete the journal \
             in Redis \
             (the key outflow:journal:… with {})",
            self.journal
        )))
    }
}
