//! Dead letters back into their event table: the insert by the column mapping, under new order
//! numbers.

use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use crate::relay::options::{Keep, OutboxOptions, Settle};
use crate::relay::outbox::columns::{self, Column};
use outflow_connect::postgres::{describe, failed};
use outflow_core::fault::Fault;
use outflow_core::table_name::{quote_identifier, quote_literal};

/// Columns to insert and the expression for each.
#[derive(Debug, Default, PartialEq, Eq)]
struct Insert {
    columns: Vec<String>,
    values: Vec<String>,
}

/// Puts these dead letters of one outbox back into its table: the same event (id, key, type,
/// payload, headers, time, columns of the stream's name) under a new order number, in the order of
/// `ids`, which is their original one. Returns how many; those that
/// somebody else took are not there.
///
/// # Errors
/// A [`Fault`]: nothing was changed, and the transaction is to be rolled back.
pub async fn put_back(
    transaction: &Transaction<'_>,
    config: &OutboxOptions,
    ids: &[i64],
) -> Result<u64, Fault> {
    let of_outbox = |fault: Fault| fault.at(format_args!("outbox {:?}", config.name));
    let found = columns::of(transaction, &config.table).await;
    let found = found.map_err(|error| of_outbox(failed(error)))?;
    if found.is_empty() {
        let missing = Fault::failed(format!("there is no table {}", config.table));
        return Err(of_outbox(missing.remedy("correct outbox.table")));
    }
    let insert = insert(config, &found).map_err(of_outbox)?;
    if let Some(fault) = incomplete(transaction, config, ids).await.map_err(of_outbox)? {
        return Err(of_outbox(fault));
    }
    let explain = |error: tokio_postgres::Error| of_outbox(explained(error, config, &insert));
    let params: [&(dyn ToSql + Sync); 2] = [&config.name, &ids];
    if !are_kept(transaction, ids).await.map_err(explain)? {
        return transaction
            .execute(&insert.statement(config, GONE), &params)
            .await
            .map_err(explain);
    }
    let statement = insert.statement(config, KEPT_GONE);
    transaction.batch_execute("savepoint outflow_retry").await.map_err(explain)?;
    match (transaction.execute(&statement, &params).await, &config.settle) {
        // The row that the letter stands for is in the way: the new one takes its place.
        (Err(error), Settle::Keep(keep)) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            let again = "rollback to savepoint outflow_retry";
            transaction.batch_execute(again).await.map_err(explain)?;
            transaction.execute(&old_rows(config, keep), &params).await.map_err(explain)?;
            transaction.execute(&statement, &params).await.map_err(explain)
        }
        (outcome, _) => outcome.map_err(explain),
    }
}

/// Whether some of these letters stand for rows of a kept outbox.
pub(super) async fn are_kept(
    transaction: &Transaction<'_>,
    ids: &[i64],
) -> Result<bool, tokio_postgres::Error> {
    let kept = "select exists (select from outflow.dead_letter where id = any ($1) and kept is not \
        null)";
    Ok(transaction.query_one(kept, &[&ids]).await?.get(0))
}

/// Deletes the rows that letters stand for.
fn old_rows(config: &OutboxOptions, keep: &Keep) -> String {
    format!(
        "delete from {} as t using outflow.dead_letter as d \
         where d.outbox = $1 and d.id = any ($2) and d.kept is not null \
         and d.pending is null and d.retired_at is null \
         and t.{} = d.xid::xid8 and t.{} = d.kept",
        config.table.quoted(),
        quote_identifier(&keep.xid),
        quote_identifier(&config.columns.order)
    )
}

/// Letters that lack something would go back as other events than they were.
async fn incomplete(
    transaction: &Transaction<'_>,
    config: &OutboxOptions,
    ids: &[i64],
) -> Result<Option<Fault>, Fault> {
    let found = transaction.query(INCOMPLETE, &[&config.name, &ids]).await;
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            let is_old = error.code() == Some(&SqlState::UNDEFINED_COLUMN);
            let fault = failed(error);
            return Err(if is_old { fault.remedy(MIGRATE) } else { fault });
        }
    };
    let letter = |row: &tokio_postgres::Row| {
        let (id, missing): (i64, String) = (row.get(0), row.get(1));
        format!("{id} lacks {missing}")
    };
    let letters: Vec<String> = found.iter().take(INCOMPLETE_TOLD).map(letter).collect();
    Ok((!letters.is_empty()).then(|| {
        let what = format!(
            "{} dead letters are incomplete, because Postgres could not hand out all of the row \
                ({}{}): `outflow dead show ID` says why",
            found.len(),
            letters.join("; "),
            if found.len() > letters.len() { "; …" } else { "" }
        );
        Fault::failed(what).remedy(
            "insert such an event by hand, then `outflow dead discard` it, and leave it out of \
                this command (by numbers, or with --reason)",
        )
    }))
}

const MIGRATE: &str = "run `outflow migrate` with this configuration";

/// Which columns get which values. What is not kept gets its default; so does the order column, if
/// it has one.
fn insert(config: &OutboxOptions, found: &[Column]) -> Result<Insert, Fault> {
    let names = &config.columns;
    let mut insert = Insert::default();
    let of = |name: &str| {
        let column = found.iter().find(|column| column.name == name);
        column.ok_or_else(|| {
            let table = &config.table;
            let what = format!("the configuration names the column {name:?}, but {table} has none");
            Fault::failed(what)
        })
    };
    let id = of(&names.id)?;
    let event_id = of(&names.event_id)?;
    insert.add(event_id, identity("event_id", event_id));
    let payload = of(&names.payload)?;
    insert.add(payload, payload_of(payload));
    insert.add(of(&names.kind)?, kept("type", "bytes ->> 'type'", of(&names.kind)?));
    if let Some(name) = &names.key {
        insert.add(of(name)?, kept("key", "bytes ->> 'key'", of(name)?));
    }
    if let Some(name) = &names.time {
        insert.add(of(name)?, text(include_str!("sql/time.sql"), of(name)?));
    }
    if let Some(name) = &names.headers {
        let column = of(name)?;
        insert.add(column, headers_of(column));
    }
    for name in config.stream.columns() {
        let name_in_sql = quote_literal(name);
        let (source, bytes) =
            (format!("(route ->> {name_in_sql})"), format!("bytes -> 'route' ->> {name_in_sql}"));
        insert.add(of(name)?, kept(&source, &bytes, of(name)?));
    }
    if !id.has_default {
        insert.add(id, identity("\"row\"", id));
    }
    let order = of(&names.order)?;
    if order.has_default || order.is_generated || insert.has(order) {
        return Ok(insert);
    }
    let what = format!(
        "the order column {:?} of {} has no default, so that there is no new number to be had",
        order.name, config.table
    );
    Err(Fault::failed(what).remedy(format!(
        "give it one: alter table {} alter column {} set default …",
        config.table.quoted(),
        quote_identifier(&order.name)
    )))
}

impl Insert {
    /// The first value for a column counts.
    fn add(&mut self, column: &Column, value: String) {
        if !self.has(column) && !column.is_generated {
            self.columns.push(quote_identifier(&column.name));
            self.values.push(value);
        }
    }

    fn has(&self, column: &Column) -> bool {
        self.columns.contains(&quote_identifier(&column.name))
    }

    /// `$1` name of the outbox, `$2` numbers of the letters. `overriding`: an event id that is an
    /// identity column is kept. The sort comes before the defaults are taken.
    fn statement(&self, config: &OutboxOptions, gone: &str) -> String {
        format!(
            "{gone} insert into {} ({}) overriding system value select {} from gone order by \
                gone.id",
            config.table.quoted(),
            self.columns.join(", "),
            self.values.join(", ")
        )
    }
}

const GONE: &str = include_str!("sql/gone.sql");
const KEPT_GONE: &str = include_str!("sql/kept_gone.sql");

const INCOMPLETE: &str = include_str!("sql/incomplete.sql");
const INCOMPLETE_TOLD: usize = 10;

/// A value that was kept as text.
fn text(source: &str, column: &Column) -> String {
    match column.kind.as_str() {
        "bytea" => format!("convert_to({source}, 'UTF8')"),
        "timestamp without time zone" => format!("({source}::timestamptz at time zone 'UTC')"),
        _ => format!("{source}::{}", column.sql_type()),
    }
}

/// A value that was kept as text, and if it is none, as hexadecimal digits beside it.
fn kept(source: &str, bytes: &str, column: &Column) -> String {
    match column.kind.as_str() {
        "bytea" => format!("coalesce(decode({bytes}, 'hex'), {})", text(source, column)),
        _ => text(source, column),
    }
}

/// An empty object was not kept; jsonb may have been kept as it is.
fn headers_of(column: &Column) -> String {
    let printed = kept("headers", "bytes ->> 'headers'", column);
    let headers = match column.kind.as_str() {
        kind @ ("json" | "jsonb") => {
            format!("coalesce((documents -> 'headers')::{kind}, headers::{kind})")
        }
        "bytea" => {
            format!("coalesce(convert_to((documents -> 'headers')::text, 'UTF8'), {printed})")
        }
        _ => format!("coalesce((documents -> 'headers')::text, headers)::{}", column.sql_type()),
    };
    match (column.not_null, column.kind.as_str()) {
        (false, _) => headers,
        (true, "bytea") => format!("coalesce({headers}, '{{}}'::bytea)"),
        (true, _) => format!("coalesce({headers}, '{{}}'::{})", column.sql_type()),
    }
}

/// A primary key or event id: kept as Postgres prints it, bytes too.
fn identity(source: &str, column: &Column) -> String {
    match column.kind.as_str() {
        "bytea" => format!("{source}::bytea"),
        _ => text(source, column),
    }
}

fn payload_of(column: &Column) -> String {
    let document = "documents -> 'payload'";
    match column.kind.as_str() {
        "bytea" => format!("coalesce(convert_to(({document})::text, 'UTF8'), payload)"),
        // A null payload was kept as no bytes, which is no JSON.
        "json" => {
            format!("coalesce(({document})::json, nullif(convert_from(payload, 'UTF8'), '')::json)")
        }
        "jsonb" => {
            format!("coalesce({document}, nullif(convert_from(payload, 'UTF8'), '')::jsonb)")
        }
        _ => format!(
            "coalesce(({document})::text, convert_from(payload, 'UTF8'))::{}",
            column.sql_type()
        ),
    }
}

fn explained(error: tokio_postgres::Error, config: &OutboxOptions, insert: &Insert) -> Fault {
    let reason = describe(&error);
    let (why, remedy) = match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            let remedy = format!(
                "grant select, delete{} on outflow.dead_letter; grant insert ({}){} on {}; or use \
                    another role for this command (OUTFLOW_POSTGRES__URL)",
                if config.settle == Settle::Delete { "" } else { ", update (retired_at)" },
                insert.columns.join(", "),
                if config.settle == Settle::Delete { "" } else { ", select, delete" },
                config.table.quoted()
            );
            ("the role lacks privileges", remedy)
        }
        Some(code) if *code == SqlState::NOT_NULL_VIOLATION => (
            "dead letters keep the mapped columns and those of the stream's name only",
            "give the column a default, or insert the event by hand (`outflow dead show ID \
                --json`) and `outflow dead discard` it"
                .to_owned(),
        ),
        Some(code) if *code == SqlState::UNIQUE_VIOLATION => (
            "that event is in the table already",
            "`outflow dead discard` the letter if it is the same".to_owned(),
        ),
        Some(code) if *code == SqlState::UNDEFINED_COLUMN => {
            return Fault::failed(reason).remedy(MIGRATE).because(error);
        }
        _ => return Fault::failed(reason).because(error),
    };
    Fault::failed(format!("{reason}: {why}")).remedy(remedy).because(error)
}
