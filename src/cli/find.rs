//! `outflow find`: where an event is.

mod show;

use std::time::Instant;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;

use super::output;
use crate::config::Config;
use crate::operate::find::{ENTRIES_MAX, Found, Progress, Query, Wanted, find};
use crate::operate::pause::chosen;
use outflow_core::fault::Fault;
use outflow_core::trace_parent::TraceParent;
use outflow_service::terminal;
use show::text;

/// Between two lines of progress.
const TELL_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// What the exit status means here.
pub(super) const EXIT_STATUS: &str = "Exit status: 0 found, 1 nothing was found, 2 usage error, \
    69 Postgres or Redis cannot be reached (what the other one knows is printed), 78 \
    configuration error, or a value that is none of its column's type";

#[derive(Debug, Args)]
pub(super) struct FindArgs {
    #[command(flatten)]
    what: WhatArgs,
    /// Only in this outbox
    ///
    /// Default: every outbox of the configuration.
    #[arg(long, value_name = "NAME")]
    outbox: Option<String>,
    /// How far to look back: a duration ago (`90m`, `2d`) or a time (`2026-01-31T12:00:00Z`)
    ///
    /// Default: the newest 100,000 entries of each stream, and of a table whose column has no index
    /// the newest 1,000,000 rows.
    #[arg(long, value_name = "WHEN", value_parser = terminal::since)]
    since: Option<Timestamp>,
    /// Maximum number of events, the newest first
    #[arg(
        long,
        value_name = "N",
        default_value = "20",
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    limit: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct WhatArgs {
    /// The event with this id
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    event_id: Option<String>,
    /// The events with this ordering key
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new())]
    key: Option<String>,
    /// The events of this trace: its id, or a whole `traceparent`
    #[arg(long, value_name = "TRACE", value_parser = trace)]
    trace: Option<String>,
}

/// The id of a trace.
fn trace(text: &str) -> Result<String, String> {
    let text = text.trim().to_ascii_lowercase();
    if let Some(id) = TraceParent::trace_id_of(&text) {
        return Ok(id.to_owned());
    }
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(text).ok_or_else(|| {
        "expected 32 hexadecimal digits, or a traceparent such as \
         00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
            .to_owned()
    })
}

pub(super) async fn run(args: FindArgs, config: Config) -> Result<(), Fault> {
    let outboxes = chosen(&config.outboxes, args.outbox.as_deref())?;
    let WhatArgs { event_id, key, trace } = args.what;
    let (id, key) = (event_id.map(Wanted::EventId), key.map(Wanted::Key));
    let Some(wanted) = id.or(key).or(trace.map(Wanted::Trace)) else {
        return Err(Fault::configuration("nothing to look for").remedy("give --event-id ID"));
    };
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let query = Query { wanted, since: args.since, limit };
    let mut last = Instant::now();
    let told = |progress: Progress| {
        if last.elapsed() >= TELL_PAUSE {
            last = Instant::now();
            say(&progress);
        }
    };
    let found = find(&config, &outboxes, &query, told).await?;
    if args.json {
        output::json(&found)?;
    } else {
        output::line(text(&found))?;
    }
    reached(&found)?;
    if found.events.is_empty() { Err(nothing(&found, args.since)) } else { Ok(()) }
}

fn say(progress: &Progress) {
    let Progress { stream, number: (number, of), looked_at, back_to } = progress;
    let back = back_to.map(|back| format!(", back to {back:.0}")).unwrap_or_default();
    terminal::say(format_args!(
        "outflow: looked at {looked_at} entries of {stream} (stream {number} of {of}){back}"
    ));
}

/// What was found is shown either way.
fn reached(found: &Found) -> Result<(), Fault> {
    let problems = [
        ("Postgres", &found.postgres_problem, "rows and dead letters of the relay are unknown"),
        ("Redis", &found.redis_problem, "entries and consumer groups are unknown"),
    ];
    let told = problems.iter().filter_map(|(name, problem, unknown)| {
        Some(format!("cannot ask {name}: {}: {unknown}", problem.as_ref()?))
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { Ok(()) } else { Err(Fault::unreachable(told.join("; "))) }
}

fn nothing(found: &Found, since: Option<Timestamp>) -> Fault {
    if found.is_complete {
        return Fault::failed(
            "nothing was found, and everything was looked at. An event whose transaction is open \
             cannot be seen, and an entry that was trimmed or deleted leaves no trace",
        );
    }
    let remedy = match since {
        Some(_) => "give an earlier time with --since to look further back",
        None => "look further back with --since, for example --since 7d",
    };
    Fault::failed(format!(
        "nothing was found in what was looked at, which is not all there is (see above; by \
         default {ENTRIES_MAX} entries of each stream)"
    ))
    .remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::trace;

    #[test]
    fn a_trace_is_its_id_or_a_traceparent() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        for text in [id.to_owned(), id.to_uppercase(), format!("00-{id}-00f067aa0ba902b7-01")] {
            assert_eq!(trace(&text).as_deref(), Ok(id), "{text}");
        }
        for text in ["", "4bf92f35", "zbf92f3577b34da6a3ce929d0e0e4736", "00-zz-01"] {
            assert!(trace(text).is_err_and(|why| why.contains("32 hexadecimal")), "{text}");
        }
    }
}
