//! A table that is not there: what the name stands for instead, or which one may be meant.

use tokio_postgres::Client;

use outflow_core::fault::{Fault, FaultKind};
use outflow_core::table_name::TableName;

/// Names that differ in more letters are others.
const DISTANCE_MAX: usize = 3;
const TABLES: &str = include_str!("sql/tables.sql");

/// In words, with what to do.
pub(super) async fn missing(
    client: &Client,
    table: &TableName,
) -> Result<Fault, tokio_postgres::Error> {
    let rows = client.query(TABLES, &[]).await?;
    let found: Vec<(String, String, String)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    if let Some((.., kind)) = found
        .iter()
        .find(|(schema, name, _)| (&**schema, &**name) == (table.schema(), table.table()))
    {
        let what = format!(
            "{table} is {}, not a table: the relay needs the rows themselves",
            kind_of(kind)
        );
        let remedy = "let outbox.table name the table that it is made from";
        return Ok(Fault::new(FaultKind::Unfit, what).remedy(remedy));
    }
    let tables = found.iter().filter(|(.., kind)| kind == "r" || kind == "p");
    let near = tables
        .map(|(schema, name, _)| {
            (distance((table.schema(), table.table()), (schema, name)), schema, name)
        })
        .filter(|(distance, ..)| *distance <= DISTANCE_MAX)
        .min();
    let meant = near
        .map(|(_, schema, name)| format!(" (did you mean {schema}.{name}?)"))
        .unwrap_or_default();
    let missing = Fault::new(FaultKind::Unfit, format!("there is no table {table}{meant}"));
    Ok(missing
        .remedy("correct outbox.table, or create it (`outflow migrate` creates public.outbox)"))
}

/// The same name in another schema is near.
fn distance((schema, name): (&str, &str), (other_schema, other): (&str, &str)) -> usize {
    let of_names = strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    let of_schemas =
        strsim::damerau_levenshtein(&schema.to_lowercase(), &other_schema.to_lowercase());
    of_names + of_schemas.min(DISTANCE_MAX)
}

fn kind_of(kind: &str) -> &'static str {
    match kind {
        "v" => "a view",
        "m" => "a materialized view",
        "f" => "a foreign table",
        "S" => "a sequence",
        "i" | "I" => "an index",
        "c" => "a composite type",
        _ => "a relation of another kind",
    }
}

/// Which of the columns may be meant, as a parenthesis.
pub(super) fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|known| {
        (strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase()), known)
    });
    let near = near
        .filter(|(distance, _)| *distance <= DISTANCE_MAX && *distance < name.len().max(2))
        .min();
    near.map(|(_, known)| format!(" (did you mean {known:?}?)")).unwrap_or_default()
}
