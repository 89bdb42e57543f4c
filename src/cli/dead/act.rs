//! `outflow dead retry` and `discard`: chosen first, so that what is counted, asked about and done
//! is the same.

use std::collections::BTreeMap;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};

use super::args::ActArgs;
use super::look::{SETTINGS, known_reason, looking, missing};
use crate::cli::connect::failed;
use crate::cli::output;
use crate::config::Config;
use crate::operate::dead_letters::{self, Chosen, Filter};
use crate::relay::options::OutboxOptions;
use outflow_connect::postgres::{self, scoped};
use outflow_core::fault::Fault;
use outflow_service::terminal;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Retry,
    Discard,
}

impl Act {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Retry => ("Retry", "retried"),
            Self::Discard => ("Permanently delete", "discarded"),
        }
    }

    /// As the audit has it.
    fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry dead letters",
            Self::Discard => "discard dead letters",
        }
    }
}

pub(super) async fn act(
    client: &mut Client,
    config: &Config,
    args: &ActArgs,
    act: Act,
) -> Result<(), Fault> {
    let filter = Filter::from(args);
    if act == Act::Discard && args.yes && !args.all && !args.dry_run && filter.is_empty() {
        return Err(Fault::failed(
            "`discard --yes` without a filter would delete every dead letter; nothing was done",
        )
        .remedy("select letters by number or filter, or add --all"));
    }
    known_reason(client, filter.reason.as_deref()).await?;
    let (verb, done) = act.words();
    let chosen = looking(client, dead_letters::choose(client, &filter)).await?;
    missing(&args.ids, chosen.iter().map(|letter| letter.id))?;
    for (outbox, reason, count) in counted(&chosen) {
        terminal::say(format_args!("outflow: {outbox}: {count} × {reason}"));
    }
    let total = chosen.len();
    let (what, mut count) = if args.dry_run {
        (format!("would_be_{done}"), total as u64)
    } else {
        (done.to_owned(), 0)
    };
    if total > 0 && !args.dry_run {
        if !output::confirm(&format!("{verb} {total} dead letters?"), args.yes)? {
            return Err(Fault::failed("nothing was done"));
        }
        count = done_with(client, config, act, &filter, &chosen).await?;
    }
    if args.json {
        return output::json(&serde_json::json!({ what: count }));
    }
    output::line(format!("{count} {}", what.replace('_', " ")))
}

/// All or nothing, in one transaction, which says in the audit what it did.
async fn done_with(
    client: &mut Client,
    config: &Config,
    act: Act,
    filter: &Filter,
    chosen: &[Chosen],
) -> Result<u64, Fault> {
    let transaction = client.transaction().await.map_err(failed)?;
    transaction
        .batch_execute(&scoped::local(&postgres::session(SETTINGS)))
        .await
        .map_err(failed)?;
    let mut of_outbox: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for letter in chosen {
        of_outbox.entry(&letter.outbox).or_default().push(letter.id);
    }
    let mut total = 0;
    for (name, ids) in of_outbox {
        let letters = match act {
            Act::Retry => put_back(&transaction, config, name, &ids).await?,
            Act::Discard => dead_letters::discard(&transaction, &ids).await.map_err(failed)?,
        };
        let noted = dead_letters::note(&transaction, act.name(), name, letters, filter).await;
        noted.map_err(|error| match error.code() {
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                let what = format!(
                    "nothing was done: {}: the role must leave a trace",
                    postgres::describe(&error)
                );
                let remedy = "grant insert on outflow.audit to it, or run grants.sql again";
                Fault::failed(what).remedy(remedy).because(error)
            }
            _ => failed(error),
        })?;
        total += letters;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(total)
}

async fn put_back(
    transaction: &Transaction<'_>,
    config: &Config,
    name: &str,
    ids: &[i64],
) -> Result<u64, Fault> {
    let outbox = config.outboxes.iter().find(|outbox| outbox.name == name);
    let outbox: &OutboxOptions = outbox.ok_or_else(|| {
        let known: Vec<&str> = config.outboxes.iter().map(|outbox| outbox.name.as_str()).collect();
        Fault::configuration(format!(
            "outbox {name:?} is not in this configuration, which has {}",
            known.join(", ")
        ))
        .remedy("give the one that drains it with --config, or leave it out with --outbox")
    })?;
    let put = dead_letters::put_back(transaction, outbox, ids).await;
    put.map_err(|fault| fault.at("nothing was put back"))
}

fn counted(chosen: &[Chosen]) -> Vec<(&str, &str, usize)> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for letter in chosen {
        *counts.entry((&letter.outbox, &letter.reason)).or_default() += 1;
    }
    counts.into_iter().map(|((outbox, reason), count)| (outbox, reason, count)).collect()
}
