//! One event table: columns, privileges, registration, index, sequence, trigger.

use tokio_postgres::Client;

use super::finding::{Findings, Known, Remedy, about, advice};
use super::hazards;
use super::session::{BEGIN, looking};
use crate::relay::options::OutboxOptions;
use crate::relay::outbox::proof::{self, Gap};
use crate::relay::outbox::table::{Problem, Table};
use outflow_connect::postgres::{describe, not_answered, scoped};
use outflow_core::table_name::quote_identifier;

/// Rows in line whose streams are looked at.
const ROWS_MAX: i64 = 1_000;

/// Checks it. Returns what Redis must be asked about.
pub(super) async fn check(
    client: &Client,
    outbox: &OutboxOptions,
    findings: &mut Findings,
) -> (Known, Option<Table>) {
    let about = &about(outbox);
    let mut known = Known::default();
    let examined = scoped::looking(client, BEGIN, Table::examine(client, outbox)).await;
    let examined = examined.unwrap_or_else(|error| Err(not_answered(error)));
    let examined = match examined {
        Ok(examined) => examined,
        Err(fault) => {
            let fault = fault.at(format_args!("cannot inspect {}", outbox.table));
            findings.fault(about, &fault, "see the server's log");
            return (known, None);
        }
    };
    tell(&examined.problems, about, findings);
    let Some(table) = examined.table else { return (known, None) };
    findings.ok(about, format!("{} has its columns, privileges and registration", outbox.table));
    let is_disabled = hazards::check(client, table.oid, outbox, about, findings).await;
    if !is_disabled {
        trigger(table.has_trigger, outbox, findings, about);
    }
    if table.has_cursor {
        order_proof(client, table.oid, outbox, findings, about).await;
        order_column(client, outbox, findings, about).await;
    } else {
        let what = format!(
            "the order column {:?} is not an integer, so every claim starts at the first row",
            outbox.columns.order
        );
        findings.warning(
            about,
            what,
            advice(
                "set columns.order to an indexed integer column whose numbers come from a \
                sequence",
            ),
        );
    }
    known.journal = Some(table.journal.clone());
    match waiting(client, outbox).await {
        Ok(streams) => known.streams = streams,
        Err(error) => {
            let what = format!("cannot read the waiting events: {}", describe(&error));
            findings.warning(about, what, advice("check the index of the order column"));
        }
    }
    (known, Some(table))
}

/// What must be mended before the table can be drained.
pub(super) fn tell(problems: &[Problem], about: &str, findings: &mut Findings) {
    for problem in problems {
        match problem {
            Problem::Hidden(statement) => {
                let what = "row security may hide rows from this role, and the relay would never \
                    deliver them";
                findings.refused(about, what, Remedy::Sql(statement.clone()));
            }
            Problem::Privilege(grant) => {
                let what = "this role lacks a privilege that the relay needs; if the relay uses \
                    another role, run `outflow check` as that role";
                findings.refused(about, what, Remedy::Sql(grant.clone()));
            }
            Problem::Lacking { what, statement } => {
                findings.error(about, what, Remedy::Sql(statement.clone()));
            }
            Problem::Other(fault) => {
                findings.fault(about, fault, "correct the configuration or the table");
            }
        }
    }
}

pub(super) fn trigger(
    notifies: bool,
    outbox: &OutboxOptions,
    findings: &mut Findings,
    about: &str,
) {
    let migrate = advice("run `outflow migrate --triggers` as the owner of the table");
    match (notifies, outbox.notify) {
        (true, true) => findings.ok(about, "the wake-up trigger exists"),
        (true, false) => {
            findings.warning(
                about,
                "the wake-up trigger notifies although `notify` is false",
                migrate,
            );
        }
        (false, false) => {
            findings.ok(
                about,
                "no trigger notifies (`notify = false`), so the relay finds events after \
                    poll_interval at the latest",
            );
        }
        (false, true) => {
            let what = "there is no wake-up trigger, so the relay finds events only by polling, \
                after poll_interval at the latest";
            findings.warning(about, what, migrate);
        }
    }
}

/// What a table without a proof costs; order holds with it and without.
async fn order_proof(
    client: &Client,
    oid: u32,
    outbox: &OutboxOptions,
    findings: &mut Findings,
    about: &str,
) {
    match looking(client, proof::gaps(client, oid, outbox)).await {
        Ok(gaps) if gaps.is_empty() => {
            findings.ok(
                about,
                "each transaction gets its number before its ids, so claims start where the last \
                    one ended",
            );
        }
        Ok(gaps) => {
            for Gap { what, remedy } in gaps {
                let what = format!(
                    "{what}. To keep the order, claims start at the first row after every write, \
                        which is slow while a long transaction keeps Postgres from removing dead \
                        rows"
                );
                let remedy = match remedy {
                    proof::Remedy::Sql(statement) => Remedy::Sql(statement),
                    proof::Remedy::Advice(text) => advice(text),
                };
                findings.warning(about, what, remedy);
            }
        }
        Err(error) => {
            let what = format!(
                "cannot find out whether each transaction gets its number before its ids: \
                    {}",
                describe(&error)
            );
            findings.warning(about, what, advice("run `outflow check` as the owner of the table"));
        }
    }
}

pub(super) async fn order_column(
    client: &Client,
    outbox: &OutboxOptions,
    findings: &mut Findings,
    about: &str,
) {
    let names = [outbox.table.schema(), outbox.table.table(), &outbox.columns.order];
    let asked = async {
        client.query_one(include_str!("sql/order.sql"), &[&names[0], &names[1], &names[2]]).await
    };
    let row = match looking(client, asked).await {
        Ok(row) => row,
        Err(error) => {
            let what = format!(
                "cannot read the index and the sequence of the order column: {}",
                describe(&error)
            );
            findings.warning(about, what, advice("run `outflow check` as the owner of the table"));
            return;
        }
    };
    index(row.get("has_index"), outbox, findings, about);
    let (sequence, cache): (Option<String>, Option<i64>) = (row.get("sequence"), row.get("cache"));
    match (sequence, cache) {
        (Some(sequence), Some(cache)) if cache > 1 => findings.warning(
            about,
            format!(
                "the sequence {sequence} caches {cache} numbers in each session, so the events of \
                    a key may get numbers in another order than they were inserted"
            ),
            Remedy::Sql(format!("alter sequence {sequence} cache 1;")),
        ),
        (Some(sequence), Some(_)) => findings.ok(
            about,
            format!(
                "the sequence {sequence} is not \
            cached"
            ),
        ),
        _ => findings.warning(
            about,
            format!("the order column {:?} is not numbered by a sequence", outbox.columns.order),
            advice("make sure that later events of a key have higher numbers"),
        ),
    }
}

fn index(has_index: bool, outbox: &OutboxOptions, findings: &mut Findings, about: &str) {
    if has_index {
        return findings.ok(about, "the order column has an index");
    }
    let order = quote_identifier(&outbox.columns.order);
    findings.error(
        about,
        "the order column has no index, so every claim reads the whole table",
        Remedy::Sql(format!("create index concurrently on {} ({order});", outbox.table.quoted())),
    );
}

/// The streams of the first rows in line.
pub(super) async fn waiting(
    client: &Client,
    outbox: &OutboxOptions,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let stream = outbox.stream.sql(quote_identifier);
    let order = quote_identifier(&outbox.columns.order);
    let query = format!(
        "select distinct stream from (select {stream} as stream from {} order by \
            {order} limit {ROWS_MAX}) as rows",
        outbox.table.quoted()
    );
    let rows = looking(client, async { client.query(&query, &[]).await }).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
