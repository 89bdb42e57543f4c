//! `outflow dead`: the events that could not be appended.

mod act;
mod args;
mod show;

use act::{Act, act};
use show::{listed, shown};

use super::connect::{failed, to_postgres};
use super::output;
use crate::config::Config;
use crate::daemon::DaemonError;
use crate::dead::{self, Filter};
use crate::event::DeadReason;
use outflow_connect::postgres::{self, scoped};
use outflow_service::terminal;

pub(super) use args::DeadCommand;

/// Rows that `list` shows unless told otherwise.
const LIST_LIMIT: i64 = 100;
/// For a transaction, never for the session: behind a pooler that is somebody else's next.
const SETTINGS: &str = "set statement_timeout = '5min'; set lock_timeout = '10s';";

pub(super) async fn run(command: DeadCommand, config: Config) -> Result<(), DaemonError> {
    let mut client = to_postgres(&config, "outflow dead").await?;
    match command {
        DeadCommand::List(args) => {
            known_reason(&client, args.filter.reason.as_deref()).await?;
            let limit = args.filter.limit.unwrap_or(LIST_LIMIT);
            let unlimited = args.filter.limit.is_none();
            // One more than is shown tells whether there are more.
            let filter = Filter { limit: Some(limit + i64::from(unlimited)), ..args.filter.into() };
            let mut letters = looking(&client, dead::list(&client, &filter, false)).await?;
            let shown = usize::try_from(limit).unwrap_or(usize::MAX);
            if letters.len() > shown {
                letters.truncate(shown);
                terminal::say(format_args!(
                    "outflow: the first {limit} are shown; --limit shows more"
                ));
            }
            if args.json { letters.iter().try_for_each(output::json) } else { listed(&letters) }
        }
        DeadCommand::Show(args) => {
            let filter = Filter { ids: Some(args.ids.clone()), ..Filter::default() };
            let letters = looking(&client, dead::list(&client, &filter, true)).await?;
            letters.iter().try_for_each(|letter| {
                if args.json { output::json(letter) } else { shown(letter) }
            })?;
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
    let begin = scoped::begin("read only", &postgres::session(SETTINGS));
    scoped::looking(client, &begin, look).await.map_err(failed)?.map_err(failed)
}

/// A reason that nobody knows is a slip of the pen: it would choose nothing, and look like good
/// news.
async fn known_reason(
    client: &tokio_postgres::Client,
    reason: Option<&str>,
) -> Result<(), DaemonError> {
    let Some(reason) = reason else { return Ok(()) };
    let mut known: Vec<String> =
        DeadReason::ALL.iter().map(|reason| reason.as_str().to_owned()).collect();
    if known.iter().any(|known| known == reason) {
        return Ok(());
    }
    // Another version may know others.
    let there = looking(client, dead::reasons(client)).await?;
    if there.iter().any(|there| there == reason) {
        return Ok(());
    }
    known.extend(there);
    known.sort();
    known.dedup();
    Err(DaemonError::Failed(format!(
        "--reason: there is no reason {reason:?}; the reasons are {}",
        known.join(", ")
    )))
}

fn missing(asked: &[i64], found: impl Iterator<Item = i64>) -> Result<(), DaemonError> {
    let found: Vec<i64> = found.collect();
    let missing: Vec<String> =
        asked.iter().filter(|id| !found.contains(id)).map(ToString::to_string).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let numbers = missing.join(", ");
    Err(DaemonError::Failed(format!(
        "there is no such dead letter: {numbers}; `outflow dead list` shows which there are"
    )))
}
