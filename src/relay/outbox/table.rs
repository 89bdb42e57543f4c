//! The event table as it is: looked up once at start-up, with every privilege that the relay needs.

use tokio_postgres::Client;

use super::identity::mapped;
use super::kept::change;
use super::naming::Naming;
use super::row::Layout;
pub(in crate::relay) use super::statements::layout;
use super::statements::{Statements, needs_version, statements};
use super::types;
use super::{named, privileges, row_security, schema_version};
use crate::relay::options::{OutboxOptions, Settle};
use crate::relay::outbox::columns::{self, Column};
use outflow_connect::postgres::not_answered;
use outflow_core::fault::{Fault, FaultKind};

/// An event table, ready to be drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its identity.
    pub oid: u32,
    /// Names its journal in Redis.
    pub journal: String,
    /// Whether the insert trigger is there, enabled, and notifies.
    pub has_trigger: bool,
    /// Whether the order column is an integer, so that there is a cursor.
    pub has_cursor: bool,
    /// By which columns its rows are named in the journal.
    pub names: String,
    /// Whether it is without children.
    pub(super) plain: bool,
    /// What differs in how it is drained from what an earlier version did: such a one must not be a
    /// member beside this one.
    pub manner: String,
    /// Mapped columns of bytes, where the database's encoding has no word for every text that they
    /// may hold.
    pub(super) ascii: Vec<String>,
    /// How a claimed row is read.
    pub layout: Layout,
    /// What a read returns of a row, as [`Layout`] has it.
    pub(super) list: Vec<String>,
    /// The statements.
    pub sql: Statements,
}

/// What an examination has found: everything that is to be mended, and the table if there is
/// nothing.
#[derive(Debug, Clone)]
pub struct Examined<T = Table> {
    /// What must be mended before the table can be drained.
    pub problems: Vec<Problem>,
    /// The table, ready to be drained.
    pub table: Option<T>,
}

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A privilege is missing: the statement to run.
    Privilege(String),
    /// Row security may hide rows from the role: the statement to run.
    Hidden(String),
    /// The table is not as it must be.
    Lacking {
        /// What is wrong.
        what: String,
        /// The statement that mends it.
        statement: String,
    },
    /// Something else is missing, of kind `Unfit`.
    Other(Fault),
}

impl Table {
    /// Looks the table up.
    ///
    /// # Errors
    /// A [`Fault`]. Of a kind that may pass: Postgres cannot be asked now. `Unfit`: the table, a
    /// column, a privilege or the registration is missing, and nothing changes until somebody mends
    /// it.
    pub async fn inspect(client: &Client, config: &OutboxOptions) -> Result<Self, Fault> {
        Self::examine(client, config).await?.ready(config)
    }

    /// Looks the table up and lists all that is to be mended.
    ///
    /// # Errors
    /// Postgres cannot be asked now.
    pub async fn examine(client: &Client, config: &OutboxOptions) -> Result<Examined, Fault> {
        let Examined { problems, table } = look(client, config).await?;
        let Some(Found { oid, journal, has_trigger, plain, ascii, columns }) = table else {
            return Ok(Examined { problems, table: None });
        };
        let Some(journal) = journal.filter(|_| problems.is_empty()) else {
            return Ok(Examined { problems, table: None });
        };
        if let Some(fault) = was_kept(client, config, &columns, oid).await? {
            return Ok(Examined { problems: vec![Problem::Other(fault)], table: None });
        }
        let (layout, list) = match layout(config, &columns, plain) {
            Ok(made) => made,
            Err(message) => {
                return Ok(Examined {
                    problems: vec![Problem::Other(unfit(message))],
                    table: None,
                });
            }
        };
        let has_cursor = layout.order.is_some();
        let sql = statements(config, &columns, &list, oid, plain, has_cursor);
        let (names, manner) = (Naming::of(config).to_text(), manner(config, &columns));
        Ok(Examined {
            problems,
            table: Some(Self {
                oid,
                journal,
                has_trigger,
                has_cursor,
                names,
                plain,
                manner,
                ascii,
                layout,
                list,
                sql,
            }),
        })
    }
}

/// Only a table that has the column of a kept one can have been kept.
async fn was_kept(
    client: &Client,
    config: &OutboxOptions,
    columns: &[Column],
    oid: u32,
) -> Result<Option<Fault>, Fault> {
    let xid = columns.iter().find(|column| column.kind == "xid8");
    let Some(xid) = xid.filter(|_| config.settle == Settle::Delete) else { return Ok(None) };
    let found = change::delivered_rows(client, config, (oid, &xid.name)).await;
    found.map_err(not_answered)
}

impl<T> Examined<T> {
    /// The table, or everything that is to be mended as one fault.
    pub(in crate::relay) fn ready(self, config: &OutboxOptions) -> Result<T, Fault> {
        let (mut grants, mut faults) = (Vec::new(), Vec::new());
        for problem in self.problems {
            match problem {
                Problem::Privilege(grant) => grants.push(grant),
                Problem::Hidden(statement) => faults.push(
                    unfit("row security may hide rows from this role")
                        .remedy(format!("if the relay shall deliver them all, run: {statement}")),
                ),
                Problem::Lacking { what, statement } => {
                    faults.push(unfit(what).remedy(format!("run: {statement}")));
                }
                Problem::Other(fault) => faults.push(fault),
            }
        }
        if !grants.is_empty() {
            let missing = unfit("privileges are missing");
            faults.push(missing.remedy(format!("run: {}", grants.join(" "))));
        }
        match self.table {
            Some(table) if faults.is_empty() => Ok(table),
            _ => Err(all(faults).at(format_args!("outbox {:?}", config.name))),
        }
    }
}

/// What an event table is, however it is drained.
#[derive(Debug, Clone)]
pub(in crate::relay) struct Found {
    pub(in crate::relay) oid: u32,
    /// `None`: it is not registered, or that cannot be looked up.
    pub(in crate::relay) journal: Option<String>,
    pub(in crate::relay) has_trigger: bool,
    /// Neither partitioned nor inherited.
    pub(in crate::relay) plain: bool,
    /// See [`Table::ascii`].
    pub(in crate::relay) ascii: Vec<String>,
    pub(in crate::relay) columns: Vec<Column>,
}

/// Looks up what every outbox needs: the table with its columns, their types, the privileges, and
/// the registration.
///
/// # Errors
/// Postgres cannot be asked now.
pub(in crate::relay) async fn look(
    client: &Client,
    config: &OutboxOptions,
) -> Result<Examined<Found>, Fault> {
    let mut problems: Vec<Problem> = privileges::missing(client, config)
        .await
        .map_err(not_answered)?
        .into_iter()
        .map(Problem::Privilege)
        .collect();
    let names = [config.table.schema(), config.table.table()];
    let found = client
        .query_opt(include_str!("sql/table.sql"), &[&names[0], &names[1]])
        .await
        .map_err(not_answered)?;
    let Some(found) = found else {
        problems.push(Problem::Other(
            named::missing(client, &config.table).await.map_err(not_answered)?,
        ));
        return Ok(Examined { problems, table: None });
    };
    let oid: u32 = found.get("oid");
    let columns = columns::of_oid(client, oid).await.map_err(not_answered)?;
    problems.extend(missing_columns(config, &columns).into_iter().map(unfit).map(Problem::Other));
    problems.extend(types::unfit(config, &columns).into_iter().map(Problem::Other));
    problems.extend(
        row_security::remedy(client, oid, config).await.map_err(not_answered)?.map(Problem::Hidden),
    );
    // Whoever may not look would be told of that instead.
    let mut journal = None;
    if !problems.iter().any(|problem| matches!(problem, Problem::Privilege(_))) {
        match registration(client, oid, config).await? {
            Ok(registered) => journal = Some(registered),
            Err(fault) => problems.push(Problem::Other(fault)),
        }
    }
    let plain = found.get::<_, String>("kind") == "r" && !found.get::<_, bool>("has_children");
    let ascii = if found.get("takes_all_text") { Vec::new() } else { of_bytes(config, &columns) };
    let has_trigger = found.get("has_trigger");
    Ok(Examined {
        problems,
        table: Some(Found { oid, journal, has_trigger, plain, ascii, columns }),
    })
}

fn of_bytes(config: &OutboxOptions, columns: &[Column]) -> Vec<String> {
    let mapped = mapped(config, columns).into_iter();
    mapped.filter(|column| column.kind == "bytea").map(|column| column.name.clone()).collect()
}

/// See [`Table::manner`].
fn manner(config: &OutboxOptions, columns: &[Column]) -> String {
    let names = &config.columns;
    let key = names.key.iter().chain([&names.id]);
    let mut differs = key.filter_map(|name| {
        columns.iter().find(|column| column.name == *name && !column.is_deterministic)
    });
    // Their hash was that of what the collation takes for equal.
    let keys = if differs.next().is_some() { "; keys as bytes" } else { "" };
    // An earlier version cannot read those of its journal.
    let rows = if needs_version(config, columns) { "; rows by version" } else { "" };
    format!("{keys}{rows}")
}

const MIGRATE: &str = "run `outflow migrate` with this configuration";

/// The name of the journal, or what is wrong with how the table is registered.
async fn registration(
    client: &Client,
    oid: u32,
    config: &OutboxOptions,
) -> Result<Result<String, Fault>, Fault> {
    let bad = |what: String| Ok(Err(unfit(what).remedy(MIGRATE)));
    let exists = client.query_one("select to_regclass('outflow.outbox') is not null", &[]).await;
    if !exists.map_err(not_answered)?.get::<_, bool>(0) {
        return bad("schema outflow is not there".to_owned());
    }
    match schema_version::known(client).await {
        Err(fault) if fault.kind() == FaultKind::Unfit => return Ok(Err(fault)),
        asked => asked?,
    }
    let row = client.query_opt(include_str!("sql/registration.sql"), &[&oid]).await;
    let Some(row) = row.map_err(not_answered)? else {
        return bad(format!("{} is not registered", config.table));
    };
    if row.get("is_current") {
        Ok(Ok(row.get("journal")))
    } else {
        bad("schema outflow is of an older version".to_owned())
    }
}

pub(in crate::relay) fn unfit(what: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Unfit, what)
}

/// Everything that is to be mended as one: each with its remedy, for who reads it.
fn all(faults: Vec<Fault>) -> Fault {
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    match <[Fault; 1]>::try_from(faults) {
        Ok([one]) => one,
        Err(_many) => unfit(told.join("; ")),
    }
}

/// Every key that names a column which is not there.
fn missing_columns(config: &OutboxOptions, columns: &[Column]) -> Vec<String> {
    let names = &config.columns;
    let optional = |name: &Option<String>| name.clone();
    let mut wanted = vec![
        ("columns.id", Some(names.id.clone())),
        ("columns.order", (names.order != names.id).then(|| names.order.clone())),
        ("columns.event_id", Some(names.event_id.clone())),
        ("columns.key", optional(&names.key)),
        ("columns.type", Some(names.kind.clone())),
        ("columns.payload", Some(names.payload.clone())),
        ("columns.headers", optional(&names.headers)),
        ("columns.time", optional(&names.time)),
    ];
    wanted.extend(config.stream.columns().map(|column| ("stream", Some(column.to_owned()))));
    let known = columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
    let missing = |(key, name): (&str, Option<String>)| {
        let name = name.filter(|name| !columns.iter().any(|column| column.name == *name))?;
        let meant = named::did_you_mean(&name, columns.iter().map(|column| column.name.as_str()));
        Some(format!(
            "{key} names {name:?}{meant}, but {} has only the columns {known}",
            config.table
        ))
    };
    wanted.into_iter().filter_map(missing).collect()
}
