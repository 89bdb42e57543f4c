//! `outflow migrate`.

use std::time::Duration;

use clap::Args;

use super::connect::to_postgres;
use super::output;
use crate::config::Config;
use crate::operate::migrate::{self, Before, Sessions, Triggers};
use outflow_core::fault::Fault;

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// Print the SQL instead of running it, for `psql` or for review
    #[arg(long)]
    pub(super) print: bool,
    /// Add the wake-up trigger to every configured table, not only to the one that outflow creates
    #[arg(long)]
    triggers: bool,
    /// Maximum time to wait for locks on the tables
    ///
    /// Each attempt waits at most 1 s for a lock, so that writers are not blocked for longer.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "1min",
        value_parser = humantime::parse_duration
    )]
    lock_wait: Duration,
}

pub(super) async fn run(args: MigrateArgs, config: Config) -> Result<(), Fault> {
    let triggers = if args.triggers { Triggers::AllTables } else { Triggers::OwnTable };
    if args.print {
        let script = migrate::script(&config.outboxes, triggers);
        return output::line(script.trim_end());
    }
    let first = sessions(&config).await?;
    let again = async || sessions(&config).await;
    let before = migrate::run(first, again, &config.outboxes, triggers, args.lock_wait).await?;
    let tables: Vec<String> =
        config.outboxes.iter().map(|outbox| outbox.table.to_string()).collect();
    let tables = tables.join(", ");
    let now = migrate::VERSION;
    match before {
        Before::Nothing => tracing::info!(now, tables, "created the schema outflow"),
        Before::Version(before) => {
            tracing::info!(before, now, tables, "the schema outflow is up to date");
        }
        Before::Newer(found) => tracing::warn!(
            found,
            known = now,
            "the schema outflow is newer than this version of Outflow, which may work with it: \
                nothing was changed"
        ),
    }
    let client = to_postgres(&config, "outflow migrate").await?;
    for run in migrate::disabled(&client, &config.outboxes).await? {
        tracing::warn!(
            run,
            "the wake-up trigger is disabled: `outflow migrate` did not enable it, and the relay \
                polls for new rows"
        );
    }
    Ok(())
}

async fn sessions(config: &Config) -> Result<Sessions, Fault> {
    let worker = to_postgres(config, "outflow migrate").await?;
    let observer = to_postgres(config, "outflow migrate watch").await.ok();
    Ok(Sessions { worker, observer })
}
