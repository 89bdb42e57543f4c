//! The role that the console has in Postgres: what it must be allowed for the pages, and for who
//! may act.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::finding::{Findings, Remedy, advice};
use super::session::looking;
use crate::config::{Config, Console, Role};
use crate::operate::audit::COLUMNS;
use crate::relay::options::{OutboxOptions, Settle};
use outflow_connect::postgres::{connect, describe};
use outflow_core::table_name::quote_identifier;

const ABOUT: &str = "console";
const OUTFLOW: &str = "outflow";

/// A privilege, and what cannot be had without it.
struct Needed {
    schema: String,
    /// Empty: the schema itself.
    table: String,
    privilege: &'static str,
    /// Empty: of the whole table.
    columns: Vec<String>,
    /// Whether these columns are what is granted; otherwise the table.
    by_column: bool,
    without: &'static str,
}

impl Needed {
    fn new(privilege: &'static str, table: &str, without: &'static str) -> Self {
        let (schema, table) = (OUTFLOW.to_owned(), table.to_owned());
        Self { schema, table, privilege, columns: Vec::new(), by_column: true, without }
    }

    fn of_columns(self, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Self { columns, ..self }
    }

    fn of_outbox(self, outbox: &OutboxOptions) -> Self {
        let (schema, table) = (outbox.table.schema().to_owned(), outbox.table.table().to_owned());
        Self { schema, table, ..self }
    }

    fn object(&self) -> String {
        match self.table.as_str() {
            "" => format!("schema {}", self.name(&self.schema)),
            table => format!("{}.{}", self.name(&self.schema), self.name(table)),
        }
    }

    /// Ours are plain words; others may be anything.
    fn name(&self, name: &str) -> String {
        if self.schema == OUTFLOW { name.to_owned() } else { quote_identifier(name) }
    }

    fn grant(&self, role: &str) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| self.name(column)).collect();
        let columns = match columns.join(", ") {
            columns if self.by_column && !columns.is_empty() => format!(" ({columns})"),
            _ => String::new(),
        };
        format!("grant {}{columns} on {} to {role};", self.privilege, self.object())
    }
}

/// Looks at the role of the console's own address, or of the relay's.
pub(super) async fn check(config: &Config, findings: &mut Findings) {
    let console = &config.console;
    if !is_used(console) {
        return;
    }
    // That a file cannot be read has been told already.
    let Ok((own, _)) = console.servers() else { return };
    let server = own.unwrap_or_else(|| config.postgres.clone());
    let client = match connect(&server.named_by_default("outflow check")).await {
        Ok(client) => client,
        Err(fault) => {
            let fault = fault.at("its address of Postgres");
            findings.fault(ABOUT, &fault, "see console.postgres_url_file");
            return;
        }
    };
    let needed = needed(config);
    match missing(&client, &needed).await {
        Ok(missing) if missing.is_empty() => {
            findings.ok(ABOUT, "its role in Postgres has the privileges that its pages need");
        }
        Ok(missing) => {
            for (at, role) in missing {
                let Some(one) = needed.get(at) else { continue };
                let what = format!(
                    "its role {role} may not {} {}: {}",
                    one.privilege,
                    one.object(),
                    one.without
                );
                findings.warning(ABOUT, what, Remedy::Sql(one.grant(&role)));
            }
        }
        Err(error) => {
            let what = format!("the privileges of its role are unknown: {}", describe(&error));
            findings.warning(ABOUT, what, advice("see the server's log"));
        }
    }
}

/// Whether somebody can come in.
fn is_used(console: &Console) -> bool {
    !console.tokens.is_empty() || console.proxy_header.is_some() || console.anonymous.is_some()
}

fn may_act(console: &Console) -> bool {
    let is_operate = |role: Role| role == Role::Operate;
    console.tokens.iter().any(|token| is_operate(token.role))
        || console.proxy_header.as_ref().is_some_and(|header| is_operate(header.role))
        || console.anonymous.is_some_and(is_operate)
}

fn needed(config: &Config) -> Vec<Needed> {
    let keeps = config.outboxes.iter().any(|one| matches!(one.settle, Settle::Keep(_)));
    let mut all = vec![
        Needed::new("usage", "", "no page shows anything of Postgres"),
        Needed::new("select", "outbox", "the overview shows no outbox"),
        Needed::new("select", "member", "the overview shows no relay"),
        Needed::new("select", "pause", "no pause is shown"),
        Needed::new("select", "dead_letter", "no dead letter is shown"),
        Needed::new("select", "audit", "the audit is not shown"),
    ];
    if keeps {
        all.push(Needed::new("select", "position", "the backlog of a kept outbox is unknown"));
    }
    let tables = "its backlog is unknown, and Find looks at no row of it";
    for outbox in &config.outboxes {
        all.push(Needed::new("select", "", tables).of_outbox(outbox).of_columns(&mapped(outbox)));
    }
    if !may_act(&config.console) {
        return all;
    }
    let audit: Vec<&str> = COLUMNS.split(", ").collect();
    all.push(Needed::new("insert", "audit", "no action is possible").of_columns(&audit));
    all.push(Needed::new("delete", "dead_letter", "no dead letter can be retried or discarded"));
    if keeps {
        let without = "no dead letter of a kept outbox can be retried or discarded";
        all.push(Needed::new("update", "dead_letter", without).of_columns(&["retired_at"]));
    }
    for privilege in ["insert", "update", "delete"] {
        all.push(Needed::new(privilege, "pause", "nothing can be paused or resumed"));
    }
    for outbox in &config.outboxes {
        let without = "no dead letter of it can be retried";
        let columns = [outbox.columns.kind.as_str(), outbox.columns.payload.as_str()];
        let put = Needed::new("insert", "", without).of_outbox(outbox).of_columns(&columns);
        all.push(Needed { by_column: false, ..put });
    }
    all
}

/// The columns of an event table that the configuration names.
fn mapped(outbox: &OutboxOptions) -> Vec<&str> {
    let columns = &outbox.columns;
    let always = [&columns.id, &columns.order, &columns.event_id, &columns.kind, &columns.payload];
    let more = [&columns.key, &columns.headers, &columns.time].into_iter().flatten();
    let mut all: Vec<&str> = always.into_iter().chain(more).map(String::as_str).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Which of them, by their place, and the role's name. A privilege is missing once, however many
/// columns lack it.
async fn missing(
    client: &Client,
    needed: &[Needed],
) -> Result<Vec<(usize, String)>, tokio_postgres::Error> {
    let (mut places, mut schemas, mut tables, mut privileges, mut columns) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (at, one) in needed.iter().enumerate() {
        let of = if one.columns.is_empty() { vec![""] } else { strs(&one.columns) };
        for column in of {
            places.push(at);
            schemas.push(one.schema.as_str());
            tables.push(one.table.as_str());
            privileges.push(one.privilege);
            columns.push(column);
        }
    }
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] = [
        (&schemas, Type::TEXT_ARRAY),
        (&tables, Type::TEXT_ARRAY),
        (&privileges, Type::TEXT_ARRAY),
        (&columns, Type::TEXT_ARRAY),
    ];
    let rows = client.query_typed(include_str!("sql/console.sql"), &params);
    let rows = looking(client, rows).await?;
    let found = rows.iter().filter_map(|row| {
        let n = usize::try_from(row.get::<_, i32>("n")).ok()?;
        Some((*places.get(n.checked_sub(1)?)?, row.get("role")))
    });
    let mut found: Vec<(usize, String)> = found.collect();
    found.dedup_by_key(|(at, _)| *at);
    Ok(found)
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}
