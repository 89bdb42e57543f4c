//! The privileges that the relay needs in Postgres, and the missing ones as the statements to run.

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use crate::relay::options::{OutboxOptions, Settle};
use outflow_core::table_name::quote_identifier;

/// One privilege on a schema or a table.
struct Need {
    schema: String,
    relation: Option<String>,
    privilege: &'static str,
    column: Column,
}

/// What a privilege on columns must cover.
enum Column {
    /// The whole table.
    All,
    /// Any column will do; this one is in the statement.
    Any(String),
    /// This one.
    One(String),
}

/// The missing privileges as `grant …;`, one for each schema and table.
pub(super) async fn missing(
    client: &Client,
    config: &OutboxOptions,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let needs = needs(config);
    let schemas: Vec<&str> = needs.iter().map(|need| need.schema.as_str()).collect();
    let relations: Vec<Option<&str>> = needs.iter().map(|need| need.relation.as_deref()).collect();
    let privileges: Vec<&str> = needs.iter().map(|need| need.privilege).collect();
    let (columns, kinds): (Vec<Option<&str>>, Vec<&str>) =
        needs.iter().map(|need| need.column.asked()).unzip();
    let wanted: [&(dyn ToSql + Sync); 5] = [&schemas, &relations, &privileges, &columns, &kinds];
    let rows = client.query(include_str!("sql/privileges.sql"), &wanted).await?;
    let role = rows.first().map(|row| quote_identifier(row.get("role"))).unwrap_or_default();
    let missing: Vec<&Need> = needs
        .iter()
        .zip(&rows)
        .filter(|(_, row)| !row.get::<_, bool>("is_held"))
        .map(|(need, _)| need)
        .collect();
    let of_one = missing
        .chunk_by(|one, next| (&one.schema, &one.relation) == (&next.schema, &next.relation));
    Ok(of_one.map(|needs| grant(needs, &role)).collect())
}

/// What the statements of the relay use, grouped by what it is on.
fn needs(config: &OutboxOptions) -> Vec<Need> {
    let (schema, table) = (config.table.schema(), config.table.table());
    // `for update skip locked` needs an update privilege, on whichever column.
    let (delete, update) = match &config.settle {
        Settle::Delete => (&["delete"][..], Column::Any(config.columns.id.clone())),
        Settle::Mark(column) => (&[][..], Column::One(column.clone())),
    };
    let on = |schema: &str, relation: Option<&str>, privilege, column| Need {
        schema: schema.to_owned(),
        relation: relation.map(str::to_owned),
        privilege,
        column,
    };
    let mut needs = vec![
        on(schema, None, "usage", Column::All),
        on(schema, Some(table), "select", Column::All),
    ];
    needs.extend(delete.iter().map(|privilege| on(schema, Some(table), privilege, Column::All)));
    needs.push(on(schema, Some(table), "update", update));
    needs.push(on("outflow", None, "usage", Column::All));
    let own = [
        ("outbox", &["select", "update"][..]),
        ("member", &["insert", "select", "delete"]),
        ("witness", &["select", "insert", "update", "delete"]),
        ("pause", &["select"]),
        ("dead_letter", &["insert"]),
    ];
    for (relation, privileges) in own {
        needs.extend(
            privileges
                .iter()
                .map(|privilege| on("outflow", Some(relation), privilege, Column::All)),
        );
        if relation == "member" {
            // Its report of itself, and nothing else of it.
            needs.push(on("outflow", Some(relation), "update", Column::One("report".to_owned())));
        }
    }
    needs
}

impl Column {
    fn asked(&self) -> (Option<&str>, &'static str) {
        match self {
            Self::All => (None, "all"),
            Self::Any(name) => (Some(name), "any"),
            Self::One(name) => (Some(name), "one"),
        }
    }
}

/// One statement for privileges on the same thing.
fn grant(needs: &[&Need], role: &str) -> String {
    let privilege = |need: &&Need| match &need.column {
        Column::All => need.privilege.to_owned(),
        Column::Any(name) | Column::One(name) => {
            format!("{} ({})", need.privilege, quote_identifier(name))
        }
    };
    let privileges: Vec<String> = needs.iter().map(privilege).collect();
    let on = needs.first().map(|need| match &need.relation {
        None => format!("schema {}", quote_identifier(&need.schema)),
        Some(relation) => {
            format!("{}.{}", quote_identifier(&need.schema), quote_identifier(relation))
        }
    });
    format!("grant {} on {} to {role};", privileges.join(", "), on.unwrap_or_default())
}
