//! The columns of a table, as the catalog shows them.

use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use outflow_core::table_name::TableName;

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what the catalog says of a column, each by itself"
)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Name of its type, as the catalog prints it; a domain counts as its base type.
    pub kind: String,
    /// The same type by its number.
    pub type_oid: u32,
    /// The number of its own type, which may be a domain.
    pub declared_oid: u32,
    /// Postgres's category of that type: `S` for texts, `A` for arrays, and so on.
    pub category: String,
    /// Whether null is refused.
    pub not_null: bool,
    /// Whether it fills itself when it is left out: a default or an identity.
    pub has_default: bool,
    /// Whether it is computed from others, so that it cannot be written.
    pub is_generated: bool,
    /// Whether texts are equal only if their bytes are.
    pub is_deterministic: bool,
}

impl Column {
    /// The type to cast to: `character` alone would mean one character, and `bit` one bit.
    pub fn sql_type(&self) -> &str {
        match self.kind.as_str() {
            "character" => "bpchar",
            "bit" => "bit varying",
            kind => kind,
        }
    }
}

/// The columns of a table; none if there is no such table.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn of(
    client: &impl GenericClient,
    table: &TableName,
) -> Result<Vec<Column>, tokio_postgres::Error> {
    let names = [table.schema(), table.table()];
    let oid = "(select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = \
        c.relnamespace \
               where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p'))";
    let statement = include_str!("columns.sql").replace("{table}", oid);
    Ok(read(&client.query(&statement, &[&names[0], &names[1]]).await?))
}

/// The columns of the table with this oid.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn of_oid(
    client: &impl GenericClient,
    oid: u32,
) -> Result<Vec<Column>, tokio_postgres::Error> {
    // Nothing is prepared, because a pooler may lend the session.
    let statement = include_str!("columns.sql").replace("{table}", "$1");
    Ok(read(&client.query_typed(&statement, &[(&oid, Type::OID)]).await?))
}

fn read(rows: &[tokio_postgres::Row]) -> Vec<Column> {
    let column = |row: &tokio_postgres::Row| Column {
        name: row.get("name"),
        kind: row.get("type"),
        type_oid: row.get("type_oid"),
        declared_oid: row.get("declared_oid"),
        not_null: row.get("not_null"),
        has_default: row.get("has_default"),
        is_generated: row.get("is_generated"),
        is_deterministic: row.get("is_deterministic"),
        category: row.get("category"),
    };
    rows.iter().map(column).collect()
}
