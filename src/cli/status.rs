//! `outflow status`, for people and for programs.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::output;
use crate::config::Config;
use crate::observe::metrics::ParkedStream;
use crate::operate::status::{
    self, Kept, KeptPosition, Member, OutboxStatus, Parked, Paused, Status,
};
use outflow_core::escape::printable;
use outflow_core::fault::Fault;

/// Clears a terminal and goes to its first line.
const CLEAR: &str = "\x1b[H\x1b[2J";
/// Columns of a line: causes may quote what servers said.
const LINE: usize = 400;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Print the status as one JSON object per line
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
}

pub(super) async fn run(args: StatusArgs, config: Config) -> Result<(), Fault> {
    loop {
        let status = status::ask(&config).await;
        let is_read = if args.json {
            output::json_is_read(&status)?
        } else {
            let clear = if args.watch && std::io::stdout().is_terminal() { CLEAR } else { "" };
            output::line_is_read(format_args!("{clear}{}", text(&status)))?
        };
        if !args.watch {
            return reached(&status);
        }
        if !is_read {
            return Ok(());
        }
        tokio::time::sleep(args.interval).await;
    }
}

/// What was found is shown either way.
fn reached(status: &Status) -> Result<(), Fault> {
    let problems = [("Postgres", &status.postgres_problem), ("Redis", &status.redis_problem)];
    let problems: Vec<String> = problems
        .iter()
        .filter_map(|(name, problem)| Some(format!("{name}: {}", problem.as_ref()?)))
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(Fault::unreachable(problems.join("; "))) }
}

fn text(status: &Status) -> String {
    let problems = [("Postgres", &status.postgres_problem), ("Redis", &status.redis_problem)];
    let problems = problems.iter().filter_map(|(name, problem)| Some((name, problem.as_ref()?)));
    let problems = problems.map(|(name, problem)| format!("{name} cannot be reached: {problem}"));
    let blocks: Vec<String> = problems.chain(status.outboxes.iter().map(block)).collect();
    blocks.join("\n\n")
}

fn block(outbox: &OutboxStatus) -> String {
    let mut lines = vec![format!("{}  {} → {}", outbox.name, outbox.table, outbox.stream)];
    let mut line =
        |name: &str, text: String| lines.push(format!("  {name:<13}{}", printable(&text, LINE)));
    line("backlog", backlog(outbox));
    if let Some(pace) = outbox.events_per_second {
        line("pace", format!("{pace:.0} events/s"));
    }
    for cause in &outbox.causes {
        line("cause", cause.clone());
    }
    for paused in &outbox.paused {
        line("paused", paused_text(paused));
    }
    for parked in &outbox.parked {
        line("parked", parked_stream(parked, Timestamp::now()));
    }
    if outbox.parked_unnamed > 0 {
        line("parked", format!("… and {} more streams", outbox.parked_unnamed));
    }
    if let Some(generation) = outbox.generation {
        line("generation", generation.to_string());
        if outbox.members.is_empty() {
            line("members", "none: no relay is at work".to_owned());
        }
    }
    for one in &outbox.members {
        line("member", member(one));
    }
    if let Some(kept) = &outbox.kept {
        line("kept", rows(kept));
        for one in &kept.positions {
            line("position", position(one));
        }
    }
    for dead in &outbox.dead_letters {
        line(
            "dead letters",
            format!("{} × {}, the last at {:.0}", dead.letters, dead.reason, dead.last_died_at),
        );
    }
    for note in &outbox.notes {
        line("trim", note.told());
    }
    for held in &outbox.retention {
        line("retention", held.clone());
    }
    for problem in &outbox.problems {
        line("unknown", problem.clone());
    }
    if !outbox.streams.is_empty() {
        lines.extend(streams(outbox).lines().map(|line| format!("  {line}")));
    }
    if outbox.streams_are_incomplete {
        lines.push("  … and possibly more streams: not all keys were scanned".to_owned());
    }
    lines.join("\n")
}

fn backlog(outbox: &OutboxStatus) -> String {
    let Some(events) = outbox.backlog_events else { return "unknown".to_owned() };
    let more = if outbox.backlog_is_capped { "at least " } else { "" };
    let parked = outbox.parked_events.filter(|parked| *parked > 0);
    let least = if outbox.parked_unnamed > 0 { "at least " } else { "" };
    let parked = parked
        .map(|parked| format!(" ({least}{parked} of them for parked streams)"))
        .unwrap_or_default();
    match outbox.oldest_event_age_seconds {
        _ if events == 0 => "empty".to_owned(),
        Some(age) => format!("{more}{events} events{parked}, the oldest {age:.1} s"),
        None => format!(
            "{more}{events} events{parked}, the oldest of unknown age (its time is not plausible)"
        ),
    }
}

fn member(member: &Member) -> String {
    let Member { number, slots, host, pid, version, started_at, problem, standby, .. } = member;
    let is = format!(
        "#{number} with {slots} slots on {host}, process {pid}, version {version}, since \
            {started_at:.0}"
    );
    let says = [("delivers nothing", problem), ("on standby", standby)];
    let says = says.iter().filter_map(|(what, why)| {
        let why = why.as_ref()?;
        Some(format!("; {what} since {:.0}: {}", why.since, why.reason))
    });
    std::iter::once(is).chain(says).collect()
}

fn rows(kept: &Kept) -> String {
    kept.rows_estimated.map_or_else(
        || "unknown number of rows: the table was never analyzed".to_owned(),
        |rows| format!("about {rows} rows"),
    )
}

fn position(position: &KeptPosition) -> String {
    let KeptPosition { generation, member, batch, copied_seconds_ago, pieces, streams } = position;
    let mut text = format!(
        "#{member} at batch {batch} of generation {generation}, copied {copied_seconds_ago:.1} s \
            ago"
    );
    if *pieces > 1 {
        let _ = write!(text, ", in {pieces} pieces");
    }
    if !streams.is_empty() {
        let _ = write!(text, "; streams that stay behind: {}", streams.join(", "));
    }
    text
}

fn parked_stream(parked: &Parked, now: Timestamp) -> String {
    let ParkedStream { stream, reason, since, next_probe } = &parked.stream;
    let seconds = next_probe.duration_since(now).as_secs();
    let probe = if seconds > 0 {
        format!("next attempt in {seconds} s")
    } else {
        "attempt in progress".to_owned()
    };
    let events = parked.events.map(|events| format!("; {events} events wait")).unwrap_or_default();
    format!("{stream} since {since:.0}: {reason}; {probe}{events}")
}

fn paused_text(Paused { pause, events }: &Paused) -> String {
    let what = pause.stream.as_ref().map_or("the whole outbox", String::as_str);
    let events = events.map(|events| format!("; {events} events wait")).unwrap_or_default();
    format!("{what} {pause}{events}")
}

fn streams(outbox: &OutboxStatus) -> String {
    let mut table = output::table(["STREAM", "LENGTH", "GROUP", "CONSUMERS", "PENDING", "LAG"]);
    for stream in &outbox.streams {
        let mut first = [stream.name.clone(), stream.length.to_string()];
        if stream.groups.is_empty() {
            output::row(&mut table, first.iter().map(String::as_str).chain(["-", "-", "-", "-"]));
        }
        for group in &stream.groups {
            let lag = group.lag.map_or_else(|| "?".to_owned(), |lag| lag.to_string());
            let [name, length] = std::mem::take(&mut first);
            let numbers = [group.consumers.to_string(), group.pending.to_string(), lag];
            output::row(&mut table, [name, length, group.name.clone()].into_iter().chain(numbers));
        }
    }
    output::plain(&table)
}
