//! The columns of a table, as the catalog shows them.

use tokio_postgres::GenericClient;

use crate::table_name::TableName;

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Name of its type, as the catalog prints it; a domain counts as its base type.
    pub kind: String,
    /// Whether null is refused.
    pub not_null: bool,
    /// Whether it fills itself when it is left out: a default or an identity.
    pub has_default: bool,
    /// Whether it is computed from others, so that it cannot be written.
    pub is_generated: bool,
}

impl Column {
    /// The type to cast to: `character` alone would mean one character.
    pub fn sql_type(&self) -> &str {
        if self.kind == "character" { "bpchar" } else { &self.kind }
    }
}

/// The columns of a table; none if there is no such table.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn of(client: &impl GenericClient, table: &TableName) -> Result<Vec<Column>, tokio_postgres::Error> {
    let names = [table.schema(), table.table()];
    let rows = client.query(include_str!("columns.sql"), &[&names[0], &names[1]]).await?;
    let column = |row: &tokio_postgres::Row| Column {
        name: row.get("name"),
        kind: row.get("type"),
        not_null: row.get("not_null"),
        has_default: row.get("has_default"),
        is_generated: row.get("is_generated"),
    };
    Ok(rows.iter().map(column).collect())
}
