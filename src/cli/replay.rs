//! `outflow replay`.

use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::connect::to_postgres;
use super::output;
use crate::config::Config;
use crate::operate::audit::Who;
use crate::operate::pause::chosen;
use crate::operate::replay::{Replay, Request};
use crate::relay::outbox::kept::replay::What;
use outflow_connect::redis::Redis;
use outflow_core::fault::Fault;
use outflow_service::terminal;

/// Between two lines of progress.
const TELL_PAUSE: Duration = Duration::from_secs(1);
const REDIS_LIMIT: Duration = Duration::from_secs(5);

#[expect(clippy::struct_excessive_bools, reason = "a flag each")]
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The outbox, which must have `settle = "keep"`
    #[arg(long, value_name = "NAME")]
    outbox: String,
    /// Only events from this time on, such as 2026-11-20T00:00:00Z or 7d
    #[arg(long, value_name = "TIME", value_parser = terminal::since)]
    since: Option<Timestamp>,
    /// Only events before this time
    #[arg(long, value_name = "TIME", value_parser = terminal::since)]
    until: Option<Timestamp>,
    /// Only events from this value of the order column on
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    from_id: Option<i64>,
    /// Only events of this stream
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only events of this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Send the events to this stream
    #[arg(
        long,
        value_name = "STREAM",
        required_unless_present = "again",
        conflicts_with = "again"
    )]
    to: Option<String>,
    /// Send each event to its own stream once more: every consumer sees it twice
    #[arg(long)]
    again: bool,
    /// At most so many events a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Begin at the beginning, although a replay of the same events to the same target was begun
    #[arg(long)]
    restart: bool,
    /// Print what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Told {
    outbox: String,
    to: Option<String>,
    resumed: bool,
    /// Events that were to be sent when it began.
    events: i64,
    sent: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    kept_since: Option<Timestamp>,
    dry_run: bool,
}

pub(super) async fn run(args: ReplayArgs, config: Config) -> Result<(), Fault> {
    let ReplayArgs { since, until, from_id, stream, kind, key, to, rate, restart, .. } = args;
    let outbox = chosen(&config.outboxes, Some(&args.outbox))?[0];
    let client = to_postgres(&config, "outflow replay").await?;
    let redis = Redis::connect(&config.redis, "outflow replay")
        .map_err(|bad| Fault::from(bad).at("redis.url"))?
        .waiting_for(config.wait_replicas);
    redis.ready(REDIS_LIMIT).await?;
    let what = What { since, until, from_id, stream, kind, key };
    let request = Request { what, to: to.clone(), rate, restart };
    let replay = Replay::prepare(client, redis, outbox, request).await?;
    let extract = replay.extract.clone();
    if let (Some(since), Some(kept)) = (since, extract.kept_since)
        && kept > since
    {
        terminal::say(format_args!(
            "outflow: the table has events from {kept:.0} on; what came before is gone"
        ));
    }
    let mut told = Told {
        outbox: args.outbox,
        to,
        resumed: replay.is_resumed,
        events: extract.events,
        sent: 0,
        first: extract.first,
        last: extract.last,
        kept_since: extract.kept_since,
        dry_run: args.dry_run,
    };
    if told.resumed && !args.json {
        terminal::say(
            "outflow: going on with a replay that was begun before; --restart begins it anew",
        );
    }
    if !args.dry_run {
        let (started, mut last) = (Instant::now(), Instant::now());
        let events = extract.events;
        told.sent = replay
            .run(&Who::command_line(), &CancellationToken::new(), |sent| {
                if last.elapsed() >= TELL_PAUSE {
                    last = Instant::now();
                    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
                    let rate = sent as f64 / started.elapsed().as_secs_f64();
                    terminal::say(format_args!("outflow: {sent} of {events} sent, {rate:.0}/s"));
                }
            })
            .await?;
    }
    if args.json {
        return output::json(&told);
    }
    let target = told.to.as_deref().unwrap_or("their own streams");
    let time =
        |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.0}"));
    let range = format!("from {} to {}", time(told.first), time(told.last));
    if told.dry_run {
        let events = told.events;
        return output::line(format_args!("would send {events} events, {range}, to {target}"));
    }
    output::line(format_args!("sent {} events, {range}, to {target}", told.sent))
}
