//! The SQL that all drivers send.

use outflow_core::table_name::{BadTableName, TableName};

/// Needs no privilege on the table, only on its schema.
pub(crate) const EXISTS: &str = "select to_regclass($1::text) is not null";

// JSON goes as text, and from there to `json`: numbers reach Postgres digit by digit, never through
// a float. A `json` column keeps the text as it is; into a `jsonb` or a `text` column Postgres
// casts it. With `jsonb` in its place, a `json` column would get the text that jsonb prints.
const INSERT: &str = include_str!("sql/insert.sql");
// `order by` makes the order column's values rise in the order of the events.
const INSERT_MANY: &str = include_str!("sql/insert_many.sql");

/// The statements for one table.
#[derive(Debug, Clone)]
pub(crate) struct Statements {
    /// The table's name, quoted.
    pub(crate) table: String,
    pub(crate) insert: String,
    pub(crate) insert_many: String,
}

impl Statements {
    pub(crate) fn new(table: &str) -> Result<Self, BadTableName> {
        let table = table.parse::<TableName>()?.quoted();
        let of = |statement: &str| statement.replace("{table}", &table);
        Ok(Self { insert: of(INSERT), insert_many: of(INSERT_MANY), table })
    }
}

impl Default for Statements {
    fn default() -> Self {
        Self::new("public.outbox").expect("a table's name")
    }
}
