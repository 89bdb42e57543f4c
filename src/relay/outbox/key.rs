//! A row's ordering key and its stream, as Postgres computes them. Pure.

use crate::relay::options::OutboxOptions;
use outflow_core::table_name::quote_identifier;

/// The key of a row of this alias. Events without a key use their primary key: they are in no order
/// with others. Texts are compared and hashed as bytes: what a collation takes for equal is not the
/// same key, nor the same stream.
pub(super) fn key(config: &OutboxOptions, of: char) -> String {
    let names = &config.columns;
    let id = quote_identifier(&names.id);
    match &names.key {
        Some(key) => format!(
            "coalesce({of}.{}::text collate \"C\", {of}.{id}::text collate \"C\")",
            quote_identifier(key)
        ),
        None => format!("{of}.{id}::text collate \"C\""),
    }
}

/// The stream of a row of this alias.
pub(super) fn stream(config: &OutboxOptions, of: char) -> String {
    config.stream.sql(|column| format!("{of}.{}", quote_identifier(column)))
}
