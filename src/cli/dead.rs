//! `outflow dead`: the events that could not be appended.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::connect::{failed, to_postgres};
use super::output;
use crate::config::Config;
use crate::daemon::DaemonError;
use crate::dead::{self, Chosen, Filter, Letter};

/// Rows that `list` shows unless told otherwise.
const LIST_LIMIT: i64 = 100;
const SESSION: &str = "set statement_timeout = '5min'; set lock_timeout = '10s'";

#[derive(Debug, Subcommand)]
pub(super) enum DeadCommand {
    /// Show which there are, in the order in which they died.
    List(ListArgs),
    /// Show one or several with all that was kept, payload included.
    Show(ShowArgs),
    /// Put them back into their outbox, under new order numbers and in their original order.
    ///
    /// Mend the cause first (`event_bytes_max`, the columns of the stream's name), else they come back here.
    Retry(ActArgs),
    /// Delete them for good.
    Discard(ActArgs),
}

#[derive(Debug, Args)]
pub(super) struct FilterArgs {
    /// Of this outbox.
    #[arg(long, value_name = "NAME")]
    outbox: Option<String>,
    /// With this reason: `no_stream`, `too_large` …
    #[arg(long)]
    reason: Option<String>,
    /// Meant for this stream.
    #[arg(long)]
    stream: Option<String>,
    /// That died then or later: a duration ago (`90m`, `2d`) or a time (`2026-01-31T12:00:00Z`).
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// The first so many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    limit: Option<i64>,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Their numbers, as `list` shows them.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<i64>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ActArgs {
    /// Only these, by the numbers that `list` shows; without numbers, all that the filters let through.
    #[arg(value_name = "ID")]
    ids: Vec<i64>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// The outcome as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: DeadCommand, config: Config) -> Result<(), DaemonError> {
    let mut client = to_postgres(&config, "outflow dead").await?;
    client.batch_execute(SESSION).await.map_err(failed)?;
    match command {
        DeadCommand::List(args) => {
            let limit = args.filter.limit.unwrap_or(LIST_LIMIT);
            let unlimited = args.filter.limit.is_none();
            // One more than is shown tells whether there are more.
            let filter = Filter { limit: Some(limit + i64::from(unlimited)), ..args.filter.into() };
            let mut letters = dead::list(&client, &filter, false).await.map_err(failed)?;
            let shown = usize::try_from(limit).unwrap_or(usize::MAX);
            if letters.len() > shown {
                letters.truncate(shown);
                eprintln!("outflow: the first {limit} are shown; --limit shows more");
            }
            if args.json { letters.iter().try_for_each(output::json) } else { listed(&letters) }
        }
        DeadCommand::Show(args) => {
            let filter = Filter { ids: Some(args.ids.clone()), ..Filter::default() };
            let letters = dead::list(&client, &filter, true).await.map_err(failed)?;
            letters.iter().try_for_each(|letter| if args.json { output::json(letter) } else { shown(letter) })?;
            missing(&args.ids, letters.iter().map(|letter| letter.id))
        }
        DeadCommand::Retry(args) => act(&mut client, &config, &args, Act::Retry).await,
        DeadCommand::Discard(args) => act(&mut client, &config, &args, Act::Discard).await,
    }
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
    let chosen = dead::choose(client, &Filter::from(args)).await.map_err(failed)?;
    missing(&args.ids, chosen.iter().map(|letter| letter.id))?;
    for (outbox, reason, count) in counted(&chosen) {
        eprintln!("outflow: {outbox}: {count} × {reason}");
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

fn listed(letters: &[Letter]) -> Result<(), DaemonError> {
    if letters.is_empty() {
        eprintln!("outflow: no dead letters");
        return Ok(());
    }
    let mut table = output::table(["ID", "DIED", "OUTBOX", "REASON", "STREAM", "TYPE", "KEY", "EVENT ID", "BYTES"]);
    for letter in letters {
        let died = letter.died_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        table.add_row([
            letter.id.to_string(),
            died,
            letter.outbox.clone(),
            letter.reason.clone(),
            letter.stream.clone().unwrap_or_else(|| "-".to_owned()),
            letter.kind.clone(),
            letter.key.clone().unwrap_or_else(|| "-".to_owned()),
            letter.event_id.clone(),
            letter.payload_bytes.to_string(),
        ]);
    }
    output::line(output::plain(&table))
}

fn shown(letter: &Letter) -> Result<(), DaemonError> {
    let none = || "-".to_owned();
    let route = letter.route.as_ref().map_or_else(none, ToString::to_string);
    let payload = match (&letter.payload, &letter.payload_hex) {
        (Some(text), _) => text.clone(),
        (None, Some(digits)) => format!("\\x{digits}"),
        (None, None) => none(),
    };
    let rows = [
        ("id", letter.id.to_string()),
        ("outbox", letter.outbox.clone()),
        ("reason", letter.reason.clone()),
        ("died at", letter.died_at.to_string()),
        ("stream", letter.stream.clone().unwrap_or_else(none)),
        ("route", route),
        ("row", letter.row.clone()),
        ("event id", letter.event_id.clone()),
        ("type", letter.kind.clone()),
        ("key", letter.key.clone().unwrap_or_else(none)),
        ("time", letter.time.clone().unwrap_or_else(none)),
        ("headers", letter.headers.clone().unwrap_or_else(none)),
        ("payload", format!("({} bytes)", letter.payload_bytes)),
    ];
    for (name, value) in rows {
        output::line(format_args!("{name:<9} {value}"))?;
    }
    output::line(format_args!("{payload}\n"))
}

impl From<FilterArgs> for Filter {
    fn from(args: FilterArgs) -> Self {
        let FilterArgs { outbox, reason, stream, since, limit } = args;
        Self { ids: None, outbox, reason, stream, since, limit }
    }
}

impl From<&ActArgs> for Filter {
    fn from(args: &ActArgs) -> Self {
        let FilterArgs { outbox, reason, stream, since, limit } = &args.filter;
        Self {
            ids: (!args.ids.is_empty()).then(|| args.ids.clone()),
            outbox: outbox.clone(),
            reason: reason.clone(),
            stream: stream.clone(),
            since: *since,
            limit: *limit,
        }
    }
}

/// A duration before now, or a time.
fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let expected = || format!("found {text:?}, expected a duration such as 90m or a time such as 2026-01-31T12:00:00Z");
    let ago = humantime::parse_duration(text).map_err(|_| expected())?;
    Timestamp::now().checked_sub(ago).map_err(|_| expected())
}
