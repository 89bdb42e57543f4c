//! The default event table, by the statement that `outflow migrate` runs.

const CREATE: &str = include_str!("../../../src/operate/migrate/event_table.sql");
const KEY: &str = "bigint generated always as identity primary key";

/// Stands in for `outflow migrate`, or makes a second table.
pub(crate) fn event_table(name: &str) -> String {
    CREATE.replace("{table}", name)
}

/// The columns alone, the first with another definition.
pub(crate) fn event_columns(id: &str) -> String {
    assert_eq!(CREATE.matches(KEY).count(), 1, "{CREATE}");
    let (_, columns) = CREATE.split_once("{table} (").expect("a table");
    let (columns, _) = columns.rsplit_once(')').expect("an end");
    columns.replace(KEY, id)
}
