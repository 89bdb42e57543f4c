//! Whether the table is still the one that was examined. A relay works by the table's name and under the locks and the
//! journal of its oid: DDL may part the two at any moment, change its types, or give it children.

use std::sync::Mutex;

use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::OutboxError;
use super::source::{State, locked};
use crate::postgres::describe;
use crate::table_name::{TableName, quote_literal};

/// An expression that is true as long as the name means the table that was examined. It looks at the catalog as it is when
/// it runs: in a statement on the table it runs when that holds its lock, and nobody can rename it any more.
pub(super) fn is_ours(table: &TableName, oid: u32) -> String {
    format!("(select pg_catalog.to_regclass({})::oid = {oid}::oid)", quote_literal(&table.quoted()))
}

/// As [`is_ours`], and as long as a table without children has none.
pub(super) fn is_as_it_was(table: &TableName, oid: u32, plain: bool) -> String {
    let ours = is_ours(table, oid);
    if plain {
        let has_children = format!("exists (select from pg_catalog.pg_inherits where inhparent = {oid}::oid)");
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

/// Compares what a claim will return with what the relay can read. From here on the server refuses to return anything else
/// from this statement.
pub(super) fn same_types(statement: &Statement, expected: &[Type], table: &TableName) -> Result<(), OutboxError> {
    let columns = statement.columns();
    let is_same = columns.len() == expected.len()
        && columns.iter().zip(expected).all(|(column, expected)| column.type_() == expected);
    if is_same {
        return Ok(());
    }
    let differs = columns.iter().zip(expected).find(|(column, expected)| column.type_() != *expected);
    let how = differs.map_or_else(String::new, |(column, expected)| {
        format!(": {} is {} now, not {}", column.name(), column.type_().name(), expected.name())
    });
    Err(OutboxError::Changed(format!("the columns of {table} have other types than they had{how}")))
}

/// Whether a statement that used to work says that what it names is no longer there, no longer of its type, or no longer
/// allowed. Class 42 is that, 3F a schema; 0A000 is a statement that would return other types than when it was prepared.
pub(super) fn refused(error: &tokio_postgres::Error) -> OutboxError {
    let is_of_the_table = error.code().is_some_and(|code| {
        let class = code.code().get(..2).unwrap_or_default();
        matches!(class, "42" | "3F") || *code == SqlState::FEATURE_NOT_SUPPORTED
    });
    let words = describe(error);
    if is_of_the_table { OutboxError::Changed(words) } else { OutboxError::Postgres(words) }
}

/// Remembers that the table must be looked at again.
pub(super) fn noted<T>(state: &Mutex<State>, outcome: Result<T, OutboxError>) -> Result<T, OutboxError> {
    if let Err(OutboxError::Changed(what)) = &outcome {
        locked(state).outdated.get_or_insert_with(|| what.clone());
    }
    outcome
}
