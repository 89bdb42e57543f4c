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
use crate::relay::outbox::schema_version::SchemaVersion;
use outflow_connect::postgres::failed;
use outflow_core::fault::Fault;
use outflow_core::table_name::quote_literal;

pub use crate::relay::outbox::schema_version::VERSION;
pub use turns::Sessions;

/// The table that is created where it is missing. Others are somebody else's.
const DEFAULT_TABLE: (&str, &str) = ("public", "outbox");
const DISABLED: &str = include_str!("migrate/disabled.sql");
/// Programs that know at least this version of the schema may work with the current one: `make
/// upgrades` runs them side by side with this one.
const OLDEST: i32 = 4;

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
    sql.push_str(&include_str!("migrate/newer.sql").replace("{version}", &VERSION.to_string()));
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
    sql.push_str(&include_str!("migrate/compatible.sql").replace("{oldest}", &OLDEST.to_string()));
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

/// What there was before a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// No schema.
    Nothing,
    /// This version, or an older one.
    Version(i32),
    /// A newer version, with which this program may work. Nothing was changed.
    Newer(i32),
}

/// Runs the script, again and again for as long as `patience` if it does not get its locks, each
/// time in new sessions from `again`. A newer schema is left as it is.
///
/// # Errors
/// The server's own words, who holds a lock, or a schema that only newer programs may work with;
/// nothing was changed.
pub async fn run(
    sessions: Sessions,
    again: impl AsyncFn() -> Result<Sessions, Fault>,
    outboxes: &[OutboxOptions],
    triggers: Triggers,
    patience: Duration,
) -> Result<Before, Fault> {
    let found = SchemaVersion::of(&sessions.worker).await?;
    if let Some(newer) = found.filter(|found| found.is_newer()) {
        return newer.refusal().map_or(Ok(Before::Newer(newer.version)), Err);
    }
    turns::run(sessions, again, &script(outboxes, triggers), patience).await?;
    Ok(found.map_or(Before::Nothing, |found| Before::Version(found.version)))
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
