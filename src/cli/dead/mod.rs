//! `outflow dead`: the events that could not be appended.

mod args;
mod show;

use std::collections::BTreeMap;

use args::ActArgs;
use show::{listed, shown};

use super::connect::{failed, to_postgres};
use super::output;
use crate::config::Config;
use crate::daemon::DaemonError;
use crate::dead::{self, Chosen, Filter};
use crate::postgres::scoped;
use crate::terminal;

pub(super) use args::DeadCommand;

/// Rows that `list` shows unless told otherwise.
const LIST_LIMIT: i64 = 100;
/// For a transaction, never for the session: behind a pooler that is somebody else's next.
const SETTINGS: &str = "set local statement_timeout = '5min'; set local lock_timeout = '10s';";

pub(super) async fn run(command: DeadCommand, config: Config) -> Result<(), DaemonError> {
    let mut client = to_postgres(&config, "outflow dead").await?;
    match command {
        DeadCommand::List(args) => {
            let limit = args.filter.limit.unwrap_or(LIST_LIMIT);
            let unlimited = args.filter.limit.is_none();
            // One more than is shown tells whether there are more.
            let filter = Filter { limit: Some(limit + i64::from(unlimited)), ..args.filter.into() };
            let mut letters = looking(&client, dead::list(&client, &filter, false)).await?;
            let shown = usize::try_from(limit).unwrap_or(usize::MAX);
            if letters.len() > shown {
                letters.truncate(shown);
                terminal::say(format_args!("outflow: the first {limit} are shown; --limit shows more"));
            }
            if args.json { letters.iter().try_for_each(output::json) } else { listed(&letters) }
        }
        DeadCommand::Show(args) => {
            let filter = Filter { ids: Some(args.ids.clone()), ..Filter::default() };
            let letters = looking(&client, dead::list(&client, &filter, true)).await?;
            letters.iter().try_for_each(|letter| if args.json { output::json(letter) } else { shown(letter) })?;
            missing(&args.ids, letters.iter().map(|letter| letter.id))
        }
        DeadCommand::Retry(args) => act(&mut client, &config, &args, Act::Retry).await,
        DeadCommand::Discard(args) => act(&mut client, &config, &args, Act::Discard).await,
    }
}

/// What only looks, in a transaction of its own.
async fn looking<T>(
    client: &tokio_postgres::Client,
    look: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, DaemonError> {
    let begin = scoped::begin("read only", SETTINGS);
    scoped::looking(client, &begin, look).await.map_err(failed)?.map_err(failed)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Retry,
    Discard,
}

impl Act {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Retry => ("put back", "retried"),
            Self::Discard => ("delete for good", "discarded"),
        }
    }
}

/// Retries or discards: chosen first, so that what is counted, asked about and done is the same.
async fn act(
    client: &mut tokio_postgres::Client,
    config: &Config,
    args: &ActArgs,
    act: Act,
) -> Result<(), DaemonError> {
    let (verb, done) = act.words();
    let chosen = looking(client, dead::choose(client, &Filter::from(args))).await?;
    missing(&args.ids, chosen.iter().map(|letter| letter.id))?;
    for (outbox, reason, count) in counted(&chosen) {
        terminal::say(format_args!("outflow: {outbox}: {count} × {reason}"));
    }
    let total = chosen.len();
    let (what, mut count) =
        if args.dry_run { (format!("would_be_{done}"), total as u64) } else { (done.to_owned(), 0) };
    if total > 0 && !args.dry_run {
        if !output::confirm(&format!("{verb} {total} dead letters?"), args.yes)? {
            return Err(DaemonError::Failed("nothing was done".to_owned()));
        }
        count = match act {
            Act::Retry => retry(client, config, &chosen).await?,
            Act::Discard => discard(client, &chosen).await?,
        };
    }
    if args.json {
        return output::json(&serde_json::json!({ what: count }));
    }
    output::line(format!("{count} {}", what.replace('_', " ")))
}

/// All or nothing, in one transaction.
async fn retry(client: &mut tokio_postgres::Client, config: &Config, chosen: &[Chosen]) -> Result<u64, DaemonError> {
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.batch_execute(SETTINGS).await.map_err(failed)?;
    let mut of_outbox: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for letter in chosen {
        of_outbox.entry(&letter.outbox).or_default().push(letter.id);
    }
    let mut back = 0;
    for (name, ids) in of_outbox {
        let outbox = config.outboxes.iter().find(|outbox| outbox.name == name).ok_or_else(|| {
            let known: Vec<&str> = config.outboxes.iter().map(|outbox| outbox.name.as_str()).collect();
            DaemonError::Configuration(format!(
                "outbox {name:?} is not in this configuration, which has {}; give the one that drains it with --config, \
                 or leave it out with --outbox",
                known.join(", ")
            ))
        })?;
        let put = dead::put_back(&transaction, outbox, &ids).await;
        back += put.map_err(|error| DaemonError::Failed(format!("nothing was put back: {error}")))?;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(back)
}

async fn discard(client: &mut tokio_postgres::Client, chosen: &[Chosen]) -> Result<u64, DaemonError> {
    let ids: Vec<i64> = chosen.iter().map(|letter| letter.id).collect();
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.batch_execute(SETTINGS).await.map_err(failed)?;
    let discarded = dead::discard(&transaction, &ids).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(discarded)
}

fn missing(asked: &[i64], found: impl Iterator<Item = i64>) -> Result<(), DaemonError> {
    let found: Vec<i64> = found.collect();
    let missing: Vec<String> = asked.iter().filter(|id| !found.contains(id)).map(ToString::to_string).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let numbers = missing.join(", ");
    Err(DaemonError::Failed(format!(
        "there is no such dead letter: {numbers}; `outflow dead list` shows which there are"
    )))
}

fn counted(chosen: &[Chosen]) -> Vec<(&str, &str, usize)> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for letter in chosen {
        *counts.entry((&letter.outbox, &letter.reason)).or_default() += 1;
    }
    counts.into_iter().map(|((outbox, reason), count)| (outbox, reason, count)).collect()
}
