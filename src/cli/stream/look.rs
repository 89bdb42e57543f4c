//! `outflow stream list` and `show`: who is behind.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::cli::output;
use crate::config::Config;
use crate::operate::streams::{GroupReport, StreamReport, Streams};
use outflow_connect::{redis, secret_file};
use outflow_core::escape::printable;
use outflow_core::fault::Fault;
use outflow_service::terminal;

/// Clears a terminal and goes to its first line.
const CLEAR: &str = "\x1b[H\x1b[2J";
/// Columns of a line: problems quote what Redis said.
const LINE: usize = 400;
/// Streams that are named if one is not found.
const NAMED_MAX: usize = 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// Name of the stream, such as `events.order`; it need not be one of the configuration
    #[arg(value_name = "STREAM", value_parser = NonEmptyStringValueParser::new())]
    stream: String,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct HowArgs {
    /// Print one JSON object per line and stream
    #[arg(long)]
    json: bool,
    /// Refresh until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Pause between two refreshes of `--watch`
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "2s",
        value_parser = humantime::parse_duration
    )]
    interval: Duration,
    /// File with the address of Redis, instead of the one in the configuration
    #[arg(long, value_name = "FILE")]
    redis_url_file: Option<PathBuf>,
}

impl ListArgs {
    pub(in crate::cli) fn has_address(&self) -> bool {
        self.how.redis_url_file.is_some()
    }
}

impl ShowArgs {
    pub(in crate::cli) fn has_address(&self) -> bool {
        self.how.redis_url_file.is_some()
    }
}

pub(in crate::cli) async fn list(args: ListArgs, config: Config) -> Result<(), Fault> {
    let streams = open(&args.how, &config).await?;
    let outcome = again(&args.how, async || {
        let mut reports = Vec::new();
        for name in streams.known(&config).await? {
            // One that has gone meanwhile is no stream any more.
            reports.extend(streams.look(&name).await?);
        }
        Ok((listed(&reports), reports))
    });
    let outcome = outcome.await;
    streams.close().await;
    outcome
}

pub(in crate::cli) async fn show(args: ShowArgs, config: Config) -> Result<(), Fault> {
    let streams = open(&args.how, &config).await?;
    let outcome = again(&args.how, async || match streams.look(&args.stream).await? {
        Some(report) => Ok((shown(&report), vec![report])),
        None => Err(unknown(&args.stream, streams.known(&config).await.unwrap_or_default())),
    });
    let outcome = outcome.await;
    streams.close().await;
    outcome
}

async fn open(how: &HowArgs, config: &Config) -> Result<Streams, Fault> {
    match &how.redis_url_file {
        Some(file) => {
            let url = secret_file::read(file).map_err(|fault| fault.at("--redis-url-file"))?;
            let server = redis::server(&url);
            let server = server.map_err(|bad| Fault::from(bad).at("--redis-url-file"))?;
            Streams::open(&server, "--redis-url-file").await
        }
        None => Streams::open(&config.redis, "redis.url").await,
    }
}

/// Looks once, or as long as somebody reads.
async fn again(
    how: &HowArgs,
    look: impl AsyncFn() -> Result<(String, Vec<StreamReport>), Fault>,
) -> Result<(), Fault> {
    loop {
        let (text, reports) = look().await?;
        let mut is_read = true;
        if how.json {
            for report in &reports {
                is_read &= output::json_is_read(report)?;
            }
        } else {
            let clear = if how.watch && std::io::stdout().is_terminal() { CLEAR } else { "" };
            is_read = output::line_is_read(format_args!("{clear}{text}"))?;
        }
        if !how.json && reports.is_empty() {
            terminal::say("outflow: no stream fits the configuration yet");
        }
        if !how.watch || !is_read {
            return Ok(());
        }
        tokio::time::sleep(how.interval).await;
    }
}

fn unknown(stream: &str, mut known: Vec<String>) -> Fault {
    let more = known.len().saturating_sub(NAMED_MAX);
    known.truncate(NAMED_MAX);
    let named = match (known.is_empty(), more) {
        (true, _) => "no stream fits the configuration yet".to_owned(),
        (false, 0) => format!("the streams of the configuration are {}", known.join(", ")),
        (false, more) => format!("some streams are {}, and {more} more", known.join(", ")),
    };
    Fault::failed(format!("there is no stream {stream:?}; {named}"))
}

fn listed(reports: &[StreamReport]) -> String {
    let mut table = output::table([
        "STREAM", "ENTRIES", "MEMORY", "FIRST", "LAST", "GROUP", "LAG", "PENDING", "OLDEST", "IDLE",
    ]);
    for report in reports {
        let mut first = [
            report.stream.clone(),
            report.entries.to_string(),
            memory(report.memory_bytes),
            age(report.first_entry_age_seconds),
            age(report.last_entry_age_seconds),
        ];
        if report.groups.is_empty() {
            output::row(&mut table, first.iter().map(String::as_str).chain(["-"; 5]));
        }
        for group in &report.groups {
            let of_stream = std::mem::take(&mut first);
            let of_group = [
                group.group.clone(),
                lag(group),
                group.pending.to_string(),
                age(group.oldest_pending_age_seconds),
                idle(group),
            ];
            output::row(&mut table, of_stream.into_iter().chain(of_group));
        }
    }
    let problems = reports.iter().flat_map(|report| &report.problems);
    with(output::plain(&table), problems)
}

fn shown(report: &StreamReport) -> String {
    let mut lines = vec![
        printable(&report.stream, LINE),
        format!("  entries      {}", report.entries),
        format!("  memory       {}", memory(report.memory_bytes)),
        format!("  first entry  {} ago", age(report.first_entry_age_seconds)),
        format!("  last entry   {} ago", age(report.last_entry_age_seconds)),
    ];
    if report.groups.is_empty() {
        lines.push("  groups       none".to_owned());
    }
    for group in &report.groups {
        lines.push(format!(
            "\n  group {}: lag {}, {} pending, the oldest {} old, last delivered {}",
            printable(&group.group, LINE),
            lag(group),
            group.pending,
            age(group.oldest_pending_age_seconds),
            group.last_delivered_id
        ));
        let mut table = output::table(["CONSUMER", "PENDING", "IDLE"]);
        for consumer in &group.consumers {
            let idle = age(Some(consumer.idle_seconds));
            output::row(
                &mut table,
                [consumer.consumer.clone(), consumer.pending.to_string(), idle],
            );
        }
        if !group.consumers.is_empty() {
            lines.extend(output::plain(&table).lines().map(|line| format!("    {line}")));
        }
    }
    with(lines.join("\n"), report.problems.iter())
}

fn with<'a>(text: String, problems: impl Iterator<Item = &'a String>) -> String {
    let problems: std::collections::BTreeSet<&String> = problems.collect();
    let lines =
        problems.into_iter().map(|problem| format!("\nunknown: {}", printable(problem, LINE)));
    std::iter::once(text).chain(lines).collect()
}

fn lag(group: &GroupReport) -> String {
    group.lag.map_or_else(|| "?".to_owned(), |lag| lag.to_string())
}

/// Of the consumer that was seen last.
fn idle(group: &GroupReport) -> String {
    age(group.consumers.iter().map(|consumer| consumer.idle_seconds).reduce(f64::min))
}

fn memory(bytes: Option<i64>) -> String {
    let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok());
    bytes.map_or_else(|| "?".to_owned(), |bytes| bytesize::ByteSize::b(bytes).to_string())
}

fn age(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return "-".to_owned() };
    match Duration::try_from_secs_f64(seconds.trunc()) {
        Ok(duration) => humantime::format_duration(duration).to_string(),
        Err(_) => "?".to_owned(),
    }
}
