//! `outflow migrate`: the objects in Postgres that the relay needs, as one script that can be run
//! any number of times.
//!
//! The script that is printed is the script that is run. It creates what is missing and never drops
//! or rewrites anything, save the registration of a table that was dropped; a lock makes replicas
//! that start at once take turns.

mod event_table;
mod turns;

use std::fmt::Write as _;
use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::relay::options::OutboxOptions;
use crate::relay::outbox::lock;
use outflow_connect::postgres::failed;
use outflow_core::fault::Fault;
use outflow_core::table_name::quote_literal;

pub use turns::Sessions;

/// The table that is created where it is missing. Others are somebody else's.
const DEFAULT_TABLE: (&str, &str) = ("public", "outbox");
const DISABLED: &str = include_str!("migrate/disabled.sql");
/// Version of [`schema.sql`](self): what `outflow.migration` says when it is up to date.
pub const VERSION: i32 = 7;

/// What to create beyond the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Triggers {
    /// On the default table only.
    OwnTable,
    /// On every configured table.
    AllTables,
}

/// The whole script, in one transaction.
pub fn script(outboxes: &[OutboxOptions], triggers: Triggers) -> String {
    let mut sql = String::from("begin isolation level read committed read write;\n");
    // Writing to memory cannot fail.
    let _ = writeln!(
        sql,
        "set local client_min_messages = warning;\n\
         -- Whatever the role presets: an index takes the time that it takes.\n\
         set local statement_timeout = 0;\n\
         -- Another migrate is waited for; a lock on a table only for so long that its writers \
         hardly notice.\n\
         set local lock_timeout = '1min';\nselect pg_advisory_xact_lock({}, 0);\nset local \
         lock_timeout = '1s';\n",
        lock::MIGRATE
    );
    sql.push_str(
        &include_str!("migrate/schema.sql").replace("{class_wake}", &lock::WAKE.to_string()),
    );
    let is_default =
        |outbox: &OutboxOptions| (outbox.table.schema(), outbox.table.table()) == DEFAULT_TABLE;
    for outbox in outboxes.iter().filter(|outbox| is_default(outbox)) {
        sql.push('\n');
        sql.push_str(&event_table::create(outbox));
    }
    let wanted = |outbox: &OutboxOptions| {
        format!(
            "({}, {}::regclass)",
            quote_literal(&outbox.name),
            quote_literal(&outbox.table.quoted())
        )
    };
    let wanted: Vec<String> = outboxes.iter().map(wanted).collect();
    sql.push('\n');
    sql.push_str(&include_str!("migrate/register.sql").replace("{wanted}", &wanted.join(", ")));
    sql.push_str(include_str!("migrate/pause.sql"));
    sql.push_str(include_str!("migrate/keep.sql"));
    sql.push_str(include_str!("migrate/audit.sql"));
    for outbox in outboxes {
        if is_default(outbox) || triggers == Triggers::AllTables {
            let relation = outbox.table.quoted();
            let _ = writeln!(sql, "\n-- Outbox {:?}: {}", outbox.name, outbox.table);
            let trigger =
                include_str!("migrate/trigger.sql").replace("{table}", &quote_literal(&relation));
            let function =
                if outbox.notify { "outflow.number_and_wake()" } else { "outflow.number()" };
            sql.push_str(&trigger.replace("{relation}", &relation).replace("{function}", function));
        }
    }
    sql.push_str("\ncommit;\n");
    sql
}

/// Runs the script, again and again for as long as `patience` if it does not get its locks, each
/// time in new sessions from `again`. Returns what was there before: the version, or `None` without
/// the schema.
///
/// # Errors
/// The server's own words, or who holds a lock; nothing was changed.
pub async fn run(
    sessions: Sessions,
    again: impl AsyncFn() -> Result<Sessions, Fault>,
    outboxes: &[OutboxOptions],
    triggers: Triggers,
    patience: Duration,
) -> Result<Option<i32>, Fault> {
    let before = version(&sessions.worker).await?;
    turns::run(sessions, again, &script(outboxes, triggers), patience).await?;
    Ok(before)
}

/// The statements that enable the wake-up triggers which somebody has disabled. The script leaves
/// these triggers as they are.
///
/// # Errors
/// The server's own words.
pub async fn disabled(client: &Client, outboxes: &[OutboxOptions]) -> Result<Vec<String>, Fault> {
    let tables: Vec<String> = outboxes.iter().map(|outbox| outbox.table.quoted()).collect();
    let rows =
        client.query_typed(DISABLED, &[(&tables, Type::TEXT_ARRAY)]).await.map_err(failed)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn version(client: &Client) -> Result<Option<i32>, Fault> {
    // Nothing is prepared, because behind a transaction pooler the next statement may be in another
    // session.
    let there =
        client.query_typed_one("select to_regclass('outflow.migration') is not null", &[]).await;
    if !there.map_err(failed)?.get::<_, bool>(0) {
        return Ok(None);
    }
    let version = client.query_typed_one("select max(version) from outflow.migration", &[]).await;
    Ok(version.map_err(failed)?.get(0))
}
