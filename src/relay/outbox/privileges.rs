//! The privileges that the relay needs in Postgres, and the missing ones as the statements to run.

use std::collections::HashSet;

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
    const ALL: &[&str] = &["select", "insert", "update", "delete"];
    let (schema, table) = (config.table.schema(), config.table.table());
    let on = |schema: &str, relation: Option<&str>, privilege, column| Need {
        schema: schema.to_owned(),
        relation: relation.map(str::to_owned),
        privilege,
        column,
    };
    let mut needs = vec![on(schema, None, "usage", Column::All)];
    match &config.settle {
        Settle::Delete => {
            let privileges = ["select", "delete"];
            needs.extend(privileges.map(|name| on(schema, Some(table), name, Column::All)));
            // `for update skip locked` needs an update privilege, on whichever column.
            let any = Column::Any(config.columns.id.clone());
            needs.push(on(schema, Some(table), "update", any));
        }
        Settle::Keep(_) => {
            let column = |name: &str| on(schema, Some(table), "select", Column::One(name.into()));
            needs.extend(read(config).into_iter().map(column));
        }
    }
    needs.push(on("outflow", None, "usage", Column::All));
    let mut own = vec![
        ("outbox", &["select", "update"][..]),
        ("member", &["insert", "select", "delete"]),
        ("witness", ALL),
        ("pause", &["select"]),
    ];
    own.extend(match &config.settle {
        Settle::Delete => vec![("dead_letter", &["insert"][..])],
        // Letters are read again: they say which rows are not to be sent.
        Settle::Keep(_) => vec![("position", ALL), ("dead_letter", ALL)],
    });
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

/// The columns that a kept outbox is read by, each once.
fn read(config: &OutboxOptions) -> Vec<&str> {
    let names = &config.columns;
    let mut wanted = vec![&names.id, &names.order, &names.event_id, &names.kind, &names.payload];
    wanted.extend([&names.key, &names.headers, &names.time].into_iter().flatten());
    if let Settle::Keep(keep) = &config.settle {
        wanted.push(&keep.xid);
    }
    let mut wanted: Vec<&str> = wanted.into_iter().map(String::as_str).collect();
    wanted.extend(config.stream.columns());
    let mut seen = HashSet::new();
    wanted.retain(|name| seen.insert(*name));
    wanted
}

impl Column {
    fn quoted(&self) -> Option<String> {
        match self {
            Self::All => None,
            Self::Any(name) | Self::One(name) => Some(quote_identifier(name)),
        }
    }

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
    // One list of columns for each privilege.
    let of_one = needs.chunk_by(|one, next| one.privilege == next.privilege);
    let privilege = |needs: &[&Need]| {
        let name = needs.first().map(|need| need.privilege).unwrap_or_default();
        let columns: Vec<String> = needs.iter().filter_map(|need| need.column.quoted()).collect();
        if columns.is_empty() {
            name.to_owned()
        } else {
            format!("{name} ({})", columns.join(", "))
        }
    };
    let privileges: Vec<String> = of_one.map(privilege).collect();
    let on = needs.first().map(|need| match &need.relation {
        None => format!("schema {}", quote_identifier(&need.schema)),
        Some(relation) => {
            format!("{}.{}", quote_identifier(&need.schema), quote_identifier(relation))
        }
    });
    format!("grant {} on {} to {role};", privileges.join(", "), on.unwrap_or_default())
}
