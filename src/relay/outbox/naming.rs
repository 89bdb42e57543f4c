//! By which columns the journal names its rows. A record is read as its writer meant it, whatever
//! the recoverer's own configuration says by now.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::OutboxError;
use super::identity::{is_ours, name};
use crate::relay::options::OutboxOptions;
use crate::relay::outbox::columns::Column;
use outflow_core::table_name::quote_identifier;

/// Between the primary key and the version of a row: no text of Postgres's holds it.
pub(super) const VERSION_MARK: u8 = 0;

/// The columns whose values stand in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Naming {
    pub(super) id: String,
    pub(super) event_id: String,
}

impl Naming {
    pub(super) fn of(config: &OutboxOptions) -> Self {
        Self { id: config.columns.id.clone(), event_id: config.columns.event_id.clone() }
    }

    /// As the journal keeps it.
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Of a record whose journal says nothing: a version that wrote nothing of it wrote the whole
    /// mapping into Postgres.
    pub(super) fn of_mapping(mapping: &str) -> Option<Self> {
        let (_, columns) = mapping.rsplit_once("Columns { id: ")?;
        let (id, behind) = quoted(columns)?;
        let (event_id, _) = quoted(behind.split_once("event_id: ")?.1)?;
        Some(Self { id, event_id })
    }
}

/// The text at the beginning, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut texts = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let first = texts.next()?.ok()?;
    let end = texts.byte_offset();
    Some((first, text.get(end..)?))
}

/// The statements that settle rows by the columns that their writer named them by. `$1` primary
/// keys as text, `$2` event ids as text, `$3` versions of the rows, or nulls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settling {
    /// Settles them.
    pub rows: String,
    /// Those that are still there: which one of them, counted from 1, and the primary key by the
    /// present configuration.
    pub left: String,
}

/// For what the journal says was appended.
pub(super) fn settle_recovered(
    config: &OutboxOptions,
    columns: &[Column],
    oid: u32,
    plain: bool,
    naming: &Naming,
) -> Settling {
    let table = name(config, plain);
    let ours = is_ours(&config.table, oid);
    let id_column = columns.iter().find(|column| column.name == naming.id);
    let id_type = id_column.map_or("text", Column::sql_type);
    let (id, event_id) = (quote_identifier(&naming.id), quote_identifier(&naming.event_id));
    // The first comparison uses the index, by whose collation other texts may be equal too.
    let named = format!(
        "unnest($1::text[], $2::text[], $3::text[]) with ordinality as j (id, event_id, version, \
            n) \
         where {ours} and t.{id} = j.id::{id_type} and t.{id}::text collate \"C\" = j.id \
         and t.{event_id}::text collate \"C\" = j.event_id \
         and (j.version is null or t.xmin::text = j.version)"
    );
    let own_id = quote_identifier(&config.columns.id);
    Settling {
        rows: format!("delete from {table} as t using {named}"),
        left: format!("select j.n, t.{own_id}::text from {table} as t, {named}"),
    }
}

/// A row's primary key and, where its writer noted it, its version.
pub(super) fn split(row: &Bytes) -> Result<(&str, Option<&str>), OutboxError> {
    let row = text(row)?;
    Ok(match row.split_once(char::from(VERSION_MARK)) {
        Some((id, version)) => (id, Some(version)),
        None => (row, None),
    })
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, OutboxError> {
    std::str::from_utf8(bytes)
        .map_err(|_| OutboxError::Postgres("the journal holds a key that is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_naming_is_read_from_an_older_versions_mapping() {
        let mapping = "stream Columns { id: \"x\"; Fields; Delete; Columns \
            { id: \"i\\\"d\", order: \"n\", event_id: \"e\", \
            key: Some(\"k\"), kind: \"t\", payload: \"p\", headers: None, time: None }; sink redis";
        let expected = Naming { id: "i\"d".to_owned(), event_id: "e".to_owned() };
        assert_eq!(Naming::of_mapping(mapping), Some(expected.clone()));
        assert_eq!(Naming::of_mapping(""), None);
        assert_eq!(serde_json::from_str::<Naming>(&expected.to_text()).ok(), Some(expected));
    }
}
