//! What lies in the way of taking rows out of a table: triggers, rules, foreign keys, publications.
//! And what empties it.

use tokio_postgres::Client;

use super::finding::{Findings, Remedy, advice};
use super::session::looking;
use crate::relay::options::OutboxOptions;
use outflow_connect::postgres::describe;
use outflow_core::table_name::quote_identifier;

/// Returns whether the wake-up trigger exists and is disabled.
pub(super) async fn check(
    client: &Client,
    oid: u32,
    outbox: &OutboxOptions,
    about: &str,
    findings: &mut Findings,
) -> bool {
    let asked = async { client.query_one(include_str!("sql/hazards.sql"), &[&oid]).await };
    let row = match looking(client, asked).await {
        Ok(row) => row,
        Err(error) => {
            let what =
                format!("cannot read triggers, rules and foreign keys: {}", describe(&error));
            findings.warning(about, what, advice("run `outflow check` as the owner of the table"));
            return false;
        }
    };
    let (name, table) = (&outbox.table, outbox.table.quoted());
    let list = |column: &str| row.get::<_, Vec<String>>(column);
    if row.get::<_, String>("persistence") == "u" {
        let what = format!(
            "{name} is UNLOGGED, so a crash of Postgres empties it and standbys do not have it"
        );
        findings.warning(about, what, Remedy::Sql(format!("alter table {table} set logged;")));
    }
    for rule in list("rules") {
        let what = format!(
            "the rule {rule} runs instead of each delete, so the relay cannot \
            remove delivered rows"
        );
        findings.error(
            about,
            what,
            Remedy::Sql(format!("drop rule {} on {table};", quote_identifier(&rule))),
        );
    }
    for trigger in list("before_triggers") {
        let what = format!(
            "the trigger {trigger} runs before each delete, and a row stays if it returns null or \
                raises an error"
        );
        findings.warning(about, what, advice("make sure that it returns a row for every delete"));
    }
    for reference in list("references_to_it") {
        let what = format!(
            "the foreign key {reference} refers to {name}, and Postgres refuses to delete a row \
                that is referred to"
        );
        findings.warning(
            about,
            what,
            advice(
                "declare it `on delete cascade` or `on delete set null`, or set settle = \
                \"keep\"",
            ),
        );
    }
    if let Some(publication) = list("publications").first().filter(|_| row.get("has_no_identity")) {
        let what = format!(
            "{publication} publishes {name}, which has no replica identity, so Postgres refuses \
                each delete"
        );
        findings.error(
            about,
            what,
            Remedy::Sql(format!("alter table {table} replica identity full;")),
        );
    }
    is_disabled(row.get("wake"), outbox, about, findings)
}

/// Whether the wake-up trigger exists and is disabled, which is told.
pub(super) fn is_disabled(
    state: Option<&str>,
    outbox: &OutboxOptions,
    about: &str,
    findings: &mut Findings,
) -> bool {
    let is_disabled = state.is_some_and(|state| state == "D" || state == "R");
    if is_disabled {
        let table = outbox.table.quoted();
        let what = "the wake-up trigger is disabled, so the relay finds events only by polling, \
            after poll_interval at the latest";
        findings.warning(
            about,
            what,
            Remedy::Sql(format!("alter table {table} enable always trigger outflow_wake;")),
        );
    }
    is_disabled
}
