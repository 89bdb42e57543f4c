//! Whether a table proves that transactions draw their ids after they have their number (see
//! [`cursor`](super::cursor)), and if not, what is in the way.

use tokio_postgres::{Client, Row};

use crate::relay::options::OutboxOptions;
use outflow_core::table_name::{quote_identifier, quote_literal};

/// Something that a table lacks for the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// What it is.
    pub what: String,
    /// What to do about it.
    pub remedy: Remedy,
}

/// What closes a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// A statement to run.
    Sql(String),
    /// Something else.
    Advice(String),
}

/// The statement that yields the token of what the proof rests on, and the last value of
/// `sequence`, an expression.
pub fn token(oid: u32, order: &str, sequence: &str) -> String {
    let token = include_str!("sql/token.sql").replace("{oid}", &oid.to_string());
    token.replace("{order}", &quote_literal(order)).replace("{sequence}", sequence)
}

/// The statement that yields the proof's sequence, or no row.
pub(super) fn statement(oid: u32, order: &str) -> String {
    let proof = include_str!("sql/proof.sql").replace("{oid}", &oid.to_string());
    proof.replace("{order}", &quote_literal(order))
}

/// What the table lacks for the proof; nothing if it has it.
///
/// # Errors
/// Postgres does not answer.
pub async fn gaps(
    client: &Client,
    oid: u32,
    config: &OutboxOptions,
) -> Result<Vec<Gap>, tokio_postgres::Error> {
    if client.query_opt(&statement(oid, &config.columns.order), &[]).await?.is_some() {
        return Ok(Vec::new());
    }
    let facts =
        client.query_one(include_str!("sql/unproven.sql"), &[&oid, &config.columns.order]).await?;
    let mut gaps: Vec<Gap> =
        [rows_from_elsewhere(&facts), trigger(&facts)].into_iter().flatten().collect();
    gaps.extend(order_column(&facts, config));
    if gaps.is_empty() {
        let what = "the table changed while it was inspected".to_owned();
        gaps.push(Gap { what, remedy: Remedy::Advice("check again".to_owned()) });
    }
    Ok(gaps)
}

fn rows_from_elsewhere(facts: &Row) -> Option<Gap> {
    let advice = |what: &str, remedy: &str| {
        Some(Gap {
            what: what.to_owned(),
            remedy: Remedy::Advice(format!("{remedy}, if the cost matters")),
        })
    };
    if !facts.get::<_, bool>("is_plain") {
        return advice(
            "rows can also arrive through a partition or a child table",
            "use a plain table",
        );
    }
    if facts.get("is_replicated") {
        return advice(
            "rows also arrive by logical replication",
            "drain them where they are written",
        );
    }
    let trigger: Option<String> = facts.get("row_trigger");
    let trigger = trigger?;
    advice(
        &format!("the row trigger {trigger} could change an id before the insert"),
        "make it fire after the insert",
    )
}

fn trigger(facts: &Row) -> Option<Gap> {
    let what = match facts.get::<_, Option<String>>("trigger")?.as_str() {
        "missing" => "there is no trigger outflow_wake",
        "disabled" => "the trigger outflow_wake is disabled",
        "origin" => {
            "the trigger outflow_wake does not fire under session_replication_role = replica"
        }
        _ => "the trigger outflow_wake is out of date",
    };
    let enable = format!(
        "alter table {} enable always trigger outflow_wake;",
        facts.get::<_, String>("name")
    );
    let remedy = if matches!(what.split_whitespace().last(), Some("disabled" | "replica")) {
        Remedy::Sql(enable)
    } else {
        Remedy::Advice("run `outflow migrate --triggers` as the owner of the table".to_owned())
    };
    Some(Gap { what: what.to_owned(), remedy })
}

fn order_column(facts: &Row, config: &OutboxOptions) -> Vec<Gap> {
    let (table, column) = (facts.get::<_, String>("name"), quote_identifier(&config.columns.order));
    let alter = format!("alter table {table} alter column {column}");
    let gap = |what: String, statement: String| Gap { what, remedy: Remedy::Sql(statement) };
    let sequence: Option<String> = facts.get("sequence");
    let identity: Option<String> = facts.get("identity");
    let (Some(sequence), Some(identity)) =
        (sequence, identity.filter(|identity| !identity.is_empty()))
    else {
        let what = format!(
            "{column} is not `generated always as identity`: ids may be drawn long before their \
                rows are inserted"
        );
        let remedy = format!(
            "in one transaction: lock table {table}; {alter} drop default; {alter} add generated \
                always as identity \
             (start with N); with an N above every id that the table ever had"
        );
        return vec![Gap { what, remedy: Remedy::Advice(remedy) }];
    };
    let mut gaps = Vec::new();
    if identity == "d" {
        let what = format!("writers may bring their own {column} (generated by default)");
        gaps.push(gap(what, format!("{alter} set generated always;")));
    }
    if !facts.get::<_, bool>("is_ascending") {
        let what = format!("the sequence {sequence} is not ascending without a cycle");
        gaps.push(gap(what, format!("{alter} set increment by 1 set cache 1 set no cycle;")));
    }
    if !facts.get::<_, bool>("may_read") {
        let role: String = facts.get("role");
        let grant = format!("grant select on sequence {sequence} to {};", quote_identifier(&role));
        gaps.push(gap(format!("role {role} may not read the sequence {sequence}"), grant));
    }
    gaps
}
