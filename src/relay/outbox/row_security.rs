//! Row security: rows that are hidden from the relay's role look like none.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use crate::relay::options::{OutboxOptions, Settle};
use outflow_core::table_name::quote_identifier;

/// The statement that lets the role see and take every row, if some may be hidden from it.
pub(super) async fn remedy(
    client: &Client,
    oid: u32,
    config: &OutboxOptions,
) -> Result<Option<String>, tokio_postgres::Error> {
    // Of a policy's commands: select, update (rows are locked), delete. A kept row is only read.
    let commands: &[&str] = match &config.settle {
        Settle::Delete => &["r", "w", "d"],
        Settle::Keep(_) => &["r"],
    };
    // Nothing is prepared, because a pooler may lend the session.
    let params: [(&(dyn ToSql + Sync), Type); 2] =
        [(&oid, Type::OID), (&commands, Type::TEXT_ARRAY)];
    let row = client.query_typed_one(include_str!("sql/row_security.sql"), &params).await?;
    if !row.get::<_, bool>("may_hide") {
        return Ok(None);
    }
    let role = quote_identifier(row.get("role"));
    Ok(Some(if row.get("is_restricted") {
        format!("alter role {role} bypassrls;")
    } else {
        format!("create policy outflow_relay on {} to {role} using (true);", config.table.quoted())
    }))
}
