//! `outflow stream drop-group`: a consumer group that nobody uses any more.

use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::cli::connect::to_postgres;
use crate::cli::output;
use crate::config::Config;
use crate::operate::audit::Who;
use crate::operate::connect::to_redis;
use crate::operate::streams::{self, Dropped, Group, Streams};
use outflow_core::escape::{CELL, printable};
use outflow_core::fault::Fault;
use outflow_service::terminal;

const NAME: &str = "outflow stream drop-group";

#[derive(Debug, Args)]
pub(in crate::cli) struct DropGroupArgs {
    /// Name of the stream, such as `events.order`
    #[arg(value_name = "STREAM", value_parser = NonEmptyStringValueParser::new())]
    stream: String,
    /// Name of the group
    #[arg(value_name = "GROUP", value_parser = NonEmptyStringValueParser::new())]
    group: String,
    /// A consumer that asked for entries within this time is active
    ///
    /// Redis before 7.2 knows only when a consumer last got entries.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "5m",
        value_parser = humantime::parse_duration
    )]
    idle: Duration,
    /// Print what would be lost, without doing it
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(args: DropGroupArgs, config: Config) -> Result<(), Fault> {
    let redis = to_redis(&config, NAME).await?;
    let streams = Streams::over(redis, config.redis.user());
    let group = streams::group_of(&streams, &args.stream, &args.group, args.idle).await?;
    let outcome = act(&args, &config, &streams, &group).await;
    streams.close().await;
    let dropped = outcome?;
    if args.json {
        let mut object = serde_json::json!(group);
        object["dropped"] = dropped.is_some().into();
        return output::json(&object);
    }
    match dropped {
        Some(pending) => output::line(format_args!("dropped, with {pending} pending entries")),
        None => output::line(format_args!("would drop {}", told(&group))),
    }
}

/// The pending entries that went with it; `None` in a dry run.
async fn act(
    args: &DropGroupArgs,
    config: &Config,
    streams: &Streams,
    group: &Group,
) -> Result<Option<i64>, Fault> {
    if let Some(consumer) = group.active.first() {
        return Err(streams::in_use(group, consumer));
    }
    if group.report.may_wait_unseen() && !args.json {
        terminal::say(format_args!("outflow: {}", streams::UNSEEN));
    }
    if args.dry_run {
        return Ok(None);
    }
    if !output::confirm(&format!("Drop {}?", told(group)), args.yes)? {
        return Err(Fault::failed("nothing was done"));
    }
    let client = to_postgres(config, NAME).await?;
    let outbox = streams::writer(config, &args.stream);
    let who = Who::command_line();
    match streams::drop_group(streams, &client, &who, outbox, group, args.idle).await? {
        Dropped::Yes(pending) => Ok(Some(pending)),
        not => Err(streams::not_dropped(group, &not)),
    }
}

fn told(group: &Group) -> String {
    let report = &group.report;
    let (name, stream) = (printable(&report.group, CELL), printable(&group.stream, CELL));
    let lag = report.lag.map_or_else(|| "an unknown number of".to_owned(), |lag| lag.to_string());
    let (pending, consumers) = (report.pending, report.consumers.len());
    format!(
        "group {name} of {stream}: {pending} pending entries are never handled, {lag} were not \
         read, {consumers} consumers"
    )
}
