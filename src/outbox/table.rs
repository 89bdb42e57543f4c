//! The event table as it is: looked up once at start-up, with every privilege that the relay needs.

use tokio_postgres::Client;

use super::row::Layout;
use super::statements::{Column, Statements, layout, statements};
use crate::config::{OutboxConfig, Settle};
use crate::postgres::describe;
use crate::table_name::quote_identifier;

/// What keeps an outbox from being drained, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Postgres cannot be asked now.
    #[error("{0}")]
    Unreachable(String),
    /// The table, a column, a privilege or the registration is missing: nothing changes until somebody mends it.
    #[error("outbox {outbox:?}: {message}")]
    Unfit {
        /// Name of the outbox.
        outbox: String,
        /// What is missing and what to do.
        message: String,
    },
}

/// An event table, ready to be drained.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its identity.
    pub oid: u32,
    /// Names its journal in Redis.
    pub journal: String,
    /// Whether the insert trigger is there and enabled.
    pub has_trigger: bool,
    /// Whether the order column is an integer, so that there is a cursor.
    pub has_cursor: bool,
    /// How a claimed row is read.
    pub layout: Layout,
    /// The statements.
    pub sql: Statements,
}

impl Table {
    /// Looks the table up.
    ///
    /// # Errors
    /// See [`TableError`].
    pub async fn inspect(client: &Client, config: &OutboxConfig) -> Result<Self, TableError> {
        let unreachable = |error: tokio_postgres::Error| TableError::Unreachable(describe(&error));
        let unfit = |message: String| TableError::Unfit { outbox: config.name.clone(), message };
        let names = [config.table.schema(), config.table.table()];
        let found = client.query_opt(include_str!("sql/table.sql"), &[&names[0], &names[1]]).await;
        let found = found.map_err(unreachable)?.ok_or_else(|| {
            unfit(format!(
                "there is no table {}; correct outbox.table, or create it (`outflow migrate` creates public.outbox)",
                config.table
            ))
        })?;
        let oid: u32 = found.get("oid");
        missing_privileges(&found, config).map_err(unfit)?;
        let columns = client.query(include_str!("sql/columns.sql"), &[&oid]).await.map_err(unreachable)?;
        let columns: Vec<Column> =
            columns.iter().map(|row| Column { name: row.get("name"), kind: row.get("type") }).collect();
        let journal = registration(client, oid, config).await?;
        let plain = found.get::<_, String>("kind") == "r" && !found.get::<_, bool>("has_children");
        let (layout, list) = layout(config, &columns).map_err(unfit)?;
        let has_cursor = layout.order.is_some();
        Ok(Self {
            oid,
            journal,
            has_trigger: found.get("has_trigger"),
            has_cursor,
            layout,
            sql: statements(config, &columns, &list, plain, has_cursor),
        })
    }
}

const MIGRATE: &str = "run `outflow migrate` with this configuration";

async fn registration(client: &Client, oid: u32, config: &OutboxConfig) -> Result<String, TableError> {
    let unreachable = |error: tokio_postgres::Error| TableError::Unreachable(describe(&error));
    let unfit = |message: String| TableError::Unfit { outbox: config.name.clone(), message };
    let exists = client.query_one("select to_regclass('outflow.outbox') is not null", &[]).await.map_err(|error| {
        let refused = error.code() == Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE);
        if refused {
            unfit("run: grant usage on schema outflow to the relay's role;".to_owned())
        } else {
            unreachable(error)
        }
    })?;
    if !exists.get::<_, bool>(0) {
        return Err(unfit(format!("schema outflow is not there; {MIGRATE}")));
    }
    let row = client.query_opt(include_str!("sql/registration.sql"), &[&oid]).await.map_err(|error| {
        let refused = error.code() == Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE);
        if refused {
            unfit(
                "run: grant usage on schema outflow to the relay's role; grant select, update on outflow.outbox to it;"
                    .to_owned(),
            )
        } else {
            unreachable(error)
        }
    })?;
    let row = row.ok_or_else(|| unfit(format!("{} is not registered; {MIGRATE}", config.table)))?;
    if !row.get::<_, bool>("is_current") {
        return Err(unfit(format!("schema outflow is of an older version; {MIGRATE}")));
    }
    let needs = [
        ("may_raise", "grant update on outflow.outbox"),
        ("may_join", "grant insert, select on outflow.member"),
        ("may_bury", "grant insert on outflow.dead_letter"),
    ];
    let missing: Vec<&str> =
        needs.iter().filter(|(may, _)| !row.get::<_, bool>(may)).map(|(_, grant)| *grant).collect();
    if missing.is_empty() {
        Ok(row.get("journal"))
    } else {
        Err(unfit(format!("the relay's role lacks privileges; run: {} to it;", missing.join(" to it; "))))
    }
}

fn missing_privileges(found: &tokio_postgres::Row, config: &OutboxConfig) -> Result<(), String> {
    let role = quote_identifier(found.get("role"));
    let table = config.table.quoted();
    let column = quote_identifier(&config.columns.id);
    let mut grants = Vec::new();
    if !found.get::<_, bool>("may_select") {
        grants.push(format!("grant select on {table} to {role};"));
    }
    match &config.settle {
        Settle::Delete if !found.get::<_, bool>("may_delete") => {
            grants.push(format!("grant delete on {table} to {role};"));
        }
        Settle::Delete | Settle::Mark(_) => {}
    }
    if !found.get::<_, bool>("may_update") {
        // `for update skip locked` needs it, on any one column.
        let column = if let Settle::Mark(mark) = &config.settle { quote_identifier(mark) } else { column };
        grants.push(format!("grant update ({column}) on {table} to {role};"));
    }
    if grants.is_empty() { Ok(()) } else { Err(format!("privileges are missing; run: {}", grants.join(" "))) }
}
