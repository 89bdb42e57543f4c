//! The same of a kept outbox: only rows that nobody has read wait. What relays have read since the
//! positions were last copied counts as waiting.

use tokio_postgres::Client;

use crate::relay::options::{Keep, OutboxOptions};
use crate::relay::outbox::kept::unread;
use outflow_core::table_name::quote_identifier;

/// What is needed to tell which rows wait.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    config: OutboxOptions,
    keep: Keep,
}

impl Kept {
    pub(super) fn new(config: &OutboxOptions, keep: &Keep) -> Self {
        Self { config: config.clone(), keep: keep.clone() }
    }

    /// The statement that looks, and the one that counts events of streams.
    pub(super) fn statements(&self) -> (String, String) {
        let xid = quote_identifier(&self.keep.xid);
        let (look, parked) = (include_str!("kept.sql"), include_str!("kept.parked.sql"));
        (look.replace("{xid}", &xid), parked.replace("{xid}", &xid))
    }

    /// The statement for this moment: the positions are part of it.
    pub(super) async fn now(&self, client: &Client, statement: &str) -> Result<String, String> {
        let Self { config, keep } = self;
        let unread = unread::waiting(client, config, keep, 'c').await;
        let unread = unread.map_err(|fault| fault.to_string())?;
        Ok(statement.replace("{unread}", &unread))
    }
}
