//! `order-consumer dead`: the entries that could not be handled.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::options::{BadOption, RedisOptions};
use outflow_connect::redis::Failure;
use outflow_consumer::{DeadFilter, DeadLetter, DeadLetters, EntryId, Replayed};
use outflow_core::escape::{CELL, WHOLE, printable};
use outflow_service::terminal::{self, confirm, since};

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// Show which there are, the oldest first.
    List(DeadArgs),
    /// Show them with all their fields.
    Show(DeadArgs),
    /// Put them back at the end of the stream that they came from. Mend the cause first, else they
    /// come back here.
    Replay(ActArgs),
    /// Delete them for good.
    Discard(ActArgs),
}

/// Where, which, and how to show them.
#[derive(Debug, Args)]
pub struct DeadArgs {
    #[command(flatten)]
    redis: RedisOptions,
    /// Only these, by the ids that `list` shows.
    #[arg(value_name = "ID")]
    ids: Vec<EntryId>,
    /// Whose error has these words in it.
    #[arg(long, value_name = "WORDS")]
    reason: Option<String>,
    /// Of this type, such as `OrderCreated`.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// With this ordering key.
    #[arg(long)]
    key: Option<String>,
    /// That this group could not handle.
    #[arg(long)]
    group: Option<String>,
    /// That died then or later: a duration ago (`90m`, `2d`) or a time (`2026-01-31T12:00:00Z`).
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// That died before then, given like `--since`.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    until: Option<Timestamp>,
    /// The oldest so many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Which, and how to go about it.
#[derive(Debug, Args)]
pub struct ActArgs {
    #[command(flatten)]
    which: DeadArgs,
    /// Only say which.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Every dead letter: what `discard --yes` needs if no filter chooses some.
    #[arg(long)]
    all: bool,
    /// So many a second at most.
    #[arg(
        long,
        value_name = "PER_SECOND",
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    rate: Option<u32>,
}

/// Runs it.
///
/// # Errors
/// [`BadOption`] for an address that cannot be used, else what Redis said.
pub async fn run(command: DeadCommand) -> Result<(), Box<dyn Error>> {
    match command {
        DeadCommand::List(args) => {
            let (_, letters) = chosen(&args).await?;
            if args.json { json(&letters) } else { table(&letters) }
        }
        DeadCommand::Show(args) => {
            let (_, letters) = chosen(&args).await?;
            if args.json { json(&letters) } else { letters.iter().try_for_each(show) }
        }
        DeadCommand::Replay(args) => act(&args, "put back", true).await,
        DeadCommand::Discard(args) => act(&args, "delete for good", false).await,
    }
}

impl DeadArgs {
    fn filter(&self) -> DeadFilter {
        DeadFilter {
            ids: (!self.ids.is_empty()).then(|| self.ids.clone()),
            reason: self.reason.clone(),
            kind: self.kind.clone(),
            key: self.key.clone(),
            group: self.group.clone(),
            since: self.since,
            until: self.until,
            limit: self.limit,
        }
    }
}

async fn chosen(args: &DeadArgs) -> Result<(DeadLetters, Vec<DeadLetter>), Box<dyn Error>> {
    let (url, sources) = (args.redis.url()?, args.redis.sources(&["events.order"])?);
    let [source] = sources.as_slice() else {
        return Err(BadOption("--stream: one at a time".to_owned()).into());
    };
    let open = DeadLetters::open(&url, &source.dead_letter_stream);
    let dead = open.map_err(|error| BadOption(format!("--redis-url: {error}")))?;
    dead.ready(CONNECT_PATIENCE).await?;
    let filter = args.filter();
    let letters = dead.list(&filter).await?;
    if letters.is_empty() {
        complain(if filter.is_empty() {
            "no dead letters"
        } else {
            "no dead letters that pass the filter"
        });
    }
    if let Some(missing) =
        args.ids.iter().find(|id| !letters.iter().any(|letter| letter.id == id.to_string()))
    {
        let stream = &source.dead_letter_stream;
        return Err(format!(
            "{stream} has no dead letter {missing}; `dead list` shows which there are"
        )
        .into());
    }
    Ok((dead, letters))
}

/// Chosen first, so that what is counted, asked about and done is the same.
async fn act(args: &ActArgs, verb: &str, replay: bool) -> Result<(), Box<dyn Error>> {
    if !replay && args.yes && !args.all && !args.dry_run && args.which.filter().is_empty() {
        return Err(BadOption(
            "`discard --yes` without a filter would delete every dead letter: nothing was done; \
                choose some by id or filter, \
             or add --all"
                .to_owned(),
        )
        .into());
    }
    let (dead, letters) = chosen(&args.which).await?;
    let done = if replay { "put back" } else { "discarded" };
    if args.dry_run {
        table(&letters)?;
        return line(format!("{} would be {done}", letters.len()));
    }
    if !letters.is_empty()
        && !confirm(&format!("{verb} {} dead letters?", letters.len()), args.yes)?
    {
        return Err("nothing was done".into());
    }
    let filter = args.which.filter();
    let action = if replay { "replay" } else { "discard" };
    if !letters.is_empty() {
        let noted = dead.note(action, letters.len(), &filter).await;
        noted.map_err(|failure| untraced(&dead.audit_stream(), &failure))?;
    }
    let mut pace = args.rate.map(|rate| tokio::time::interval(Duration::from_secs(1) / rate));
    let (mut count, mut left) = (0, 0);
    for letter in &letters {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let moved = if replay {
            match dead.replay(letter).await? {
                Replayed::As(_) => true,
                Replayed::Gone => false,
                Replayed::NotWhole => {
                    complain(format!("{}: not put back, only its beginning was kept", letter.id));
                    false
                }
            }
        } else {
            dead.discard(letter).await?
        };
        if moved { count += 1 } else { left += 1 }
    }
    if left > 0 {
        complain(format!("{left} were not {done}"));
    }
    if !letters.is_empty()
        && let Err(failure) = dead.note(&format!("{action} done"), count, &filter).await
    {
        complain(format!("the end of it is not in {}: {failure}", dead.audit_stream()));
    }
    if args.which.json {
        return line(serde_json::json!({ done.replace(' ', "_"): count, "not_done": left }));
    }
    line(format!("{count} {done}"))
}

fn untraced(stream: &str, failure: &Failure) -> String {
    let remedy = if failure.code() == Some("NOPERM") {
        format!("; let its user write there: ACL SETUSER NAME (+xadd ~{stream}), and ACL SAVE")
    } else {
        String::new()
    };
    format!("nothing was done: it must leave a trace in {stream}: {failure}{remedy}")
}

fn json(letters: &[DeadLetter]) -> Result<(), Box<dyn Error>> {
    letters.iter().try_for_each(|letter| Ok(terminal::json(letter)?))
}

fn table(letters: &[DeadLetter]) -> Result<(), Box<dyn Error>> {
    if letters.is_empty() {
        return Ok(());
    }
    let mut table = terminal::table(["ID", "DIED", "GROUP", "ATTEMPTS", "TYPE", "KEY", "ERROR"]);
    for letter in letters {
        let field = |name: &str| {
            letter.fields.get(name).and_then(|value| value.as_str()).unwrap_or("-").to_owned()
        };
        let died = letter.died_at.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let cells = [
            letter.id.clone(),
            died.unwrap_or_else(|| "-".to_owned()),
            letter.group.clone(),
            letter.attempts.to_string(),
            field("type"),
            field("key"),
            letter.error.clone(),
        ];
        terminal::row(&mut table, cells);
    }
    line(terminal::plain(&table))
}

fn show(letter: &DeadLetter) -> Result<(), Box<dyn Error>> {
    let died = letter.died_at.map(|time| time.to_string()).unwrap_or_default();
    let about = [
        ("id", &letter.id),
        ("died at", &died),
        ("stream", &letter.stream),
        ("entry id", &letter.entry_id),
        ("group", &letter.group),
        ("attempts", &letter.attempts.to_string()),
        ("error", &letter.error),
    ];
    for (name, value) in about {
        line(format!("{name:<9} {}", printable(value, WHOLE)))?;
    }
    for (name, value) in &letter.fields {
        let (name, value) =
            (printable(name, CELL), printable(value.as_str().unwrap_or_default(), WHOLE));
        line(format!("  {name:<9} {value}"))?;
    }
    line("")
}

fn line(text: impl Display) -> Result<(), Box<dyn Error>> {
    Ok(terminal::line(text)?)
}

fn complain(text: impl Display) {
    terminal::say(format_args!("order-consumer: {text}"));
}
