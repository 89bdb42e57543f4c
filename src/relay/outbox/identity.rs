//! Whether the table is still the one that was examined. A relay works by the table's name and
//! under the locks and the journal of its oid: DDL may part the two at any moment, change its
//! types, or give it children.

use tokio_postgres::Statement;

use super::OutboxError;
use crate::relay::options::{OutboxOptions, Settle};
use crate::relay::outbox::columns::Column;
use outflow_core::table_name::{TableName, quote_identifier, quote_literal};

/// An expression that is true as long as the name means the table that was examined. It looks at
/// the catalog as it is when it runs: in a statement on the table it runs when that holds its lock,
/// and nobody can rename it any more.
pub(super) fn is_ours(table: &TableName, oid: u32) -> String {
    format!("(select pg_catalog.to_regclass({})::oid = {oid}::oid)", quote_literal(&table.quoted()))
}

/// As [`is_ours`], and as long as a table without children has none.
pub(super) fn is_as_it_was(table: &TableName, oid: u32, plain: bool) -> String {
    let ours = is_ours(table, oid);
    if plain {
        let has_children =
            format!("exists (select from pg_catalog.pg_inherits where inhparent = {oid}::oid)");
        format!("coalesce({ours}, false) and not {has_children}")
    } else {
        format!("coalesce({ours}, false)")
    }
}

/// What is wrong if [`is_as_it_was`] is not true.
pub(super) fn is_another(table: &TableName) -> OutboxError {
    OutboxError::Changed(format!(
        "{table} is no longer the table that it was: renamed, made again, or with children now"
    ))
}

/// The registration of the table is gone.
pub(super) fn is_unregistered(table: &TableName) -> OutboxError {
    OutboxError::Changed(format!("{table} is no longer registered"))
}

/// The mapped columns, each once: name and type as they were examined.
pub(super) fn mapped<'a>(config: &OutboxOptions, columns: &'a [Column]) -> Vec<&'a Column> {
    let names = &config.columns;
    let mut wanted = vec![&names.id, &names.order, &names.event_id, &names.kind, &names.payload];
    wanted.extend([&names.key, &names.headers, &names.time].into_iter().flatten());
    if let Settle::Keep(keep) = &config.settle {
        wanted.push(&keep.xid);
    }
    let is_mapped = |name: &str| {
        wanted.iter().any(|wanted| *wanted == name)
            || config.stream.columns().any(|column| column == name)
    };
    columns.iter().filter(|column| is_mapped(&column.name)).collect()
}

/// [`Statements::generation`](super::statements::Statements), for both kinds of sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// It returns no values, but their types, which stay what they were when it was prepared.
    pub own: String,
    /// The same for a session that a pooler lends, in which nothing is prepared: it compares the
    /// types itself.
    pub lent: String,
}

impl Generation {
    /// `token`: the statement that gives the proof's token.
    pub(super) fn new(
        config: &OutboxOptions,
        columns: &[Column],
        table: &str,
        is_as_it_was: &str,
        token: Option<&str>,
    ) -> Self {
        let mapped = mapped(config, columns);
        let names = mapped.iter().map(|column| quote_identifier(&column.name));
        let is_typed = names.clone().zip(&mapped).map(|(name, column)| {
            let declared = column.declared_oid;
            format!(" and pg_catalog.pg_typeof(typed.{name})::oid = {declared}::oid")
        });
        let is_typed = is_typed.collect::<Vec<_>>().concat();
        // And a lock on the table, so that they stay until the end of the transaction.
        let typed = names.map(|name| format!("c.{name}")).collect::<Vec<_>>().join(", ");
        let typed =
            format!("left join (select {typed} from {table} as c limit 0) as typed on true");
        let (list, proof) = token.map_or_else(
            || ("null::text, null::bigint + $2::oid::bigint", String::new()),
            |token| ("p.token, p.drawn", format!("left join ({token}) as p on true ")),
        );
        let known = format!(
            "with known as (select generation, pg_current_snapshot()::text from outflow.outbox \
                where relation = $1::oid) \
             select known.*, {is_as_it_was}"
        );
        Self {
            own: format!("{known}, {list}, typed.* from known {proof}{typed}"),
            lent: format!("{known}{is_typed}, {list} from known {proof}{typed}"),
        }
    }
}

/// Compares the types that a claim asks for, in its last columns, with those that were examined.
/// From here on the server refuses to run the statement if they are others, and whoever has run it
/// in a transaction keeps them from changing.
pub(super) fn same_types(
    statement: &Statement,
    expected: &[u32],
    table: &TableName,
) -> Result<(), OutboxError> {
    let columns = statement.columns();
    let asked = &columns[columns.len().saturating_sub(expected.len())..];
    let is_same = asked.len() == expected.len();
    let differs =
        asked.iter().zip(expected).find(|(column, expected)| column.type_().oid() != **expected);
    match differs {
        None if is_same => Ok(()),
        Some((column, _)) => Err(OutboxError::Changed(format!(
            "the column {:?} of {table} is of another type than it was: {}",
            column.name(),
            column.type_().name()
        ))),
        None => Err(OutboxError::Changed(format!("{table} has other columns than it had"))),
    }
}

/// A child that comes while the relay runs is not looked into before the table has been examined
/// again.
pub(super) fn name(config: &OutboxOptions, plain: bool) -> String {
    let table = config.table.quoted();
    if plain { format!("only {table}") } else { table }
}
