//! `outflow pause` and `outflow resume`.

use std::time::Duration;

use clap::Args;

use super::connect::to_postgres;
use super::output;
use crate::config::Config;
use crate::operate::audit::Who;
use crate::operate::pause::{self, Outcome, PAUSES_MAX, PauseOf, Request, given};
use crate::operate::status::streams_of;
use crate::relay::options::OutboxOptions;
use outflow_connect::redis::{Args as Words, Redis};
use outflow_core::escape::printable;
use outflow_core::fault::Fault;
use outflow_service::terminal;

/// Columns of a line.
const LINE: usize = 1_000;
/// How long Redis is asked for names that help.
const REDIS_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
struct Which {
    /// Only this outbox
    ///
    /// Default: every outbox of the configuration.
    #[arg(long, value_name = "NAME")]
    outbox: Option<String>,
    /// Only this stream, by its whole name
    ///
    /// The other streams keep running. Default: the whole outbox.
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
    /// Print one JSON object per pause
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    #[command(flatten)]
    which: Which,
    /// Reason, which status, logs and probes show
    #[arg(long, value_name = "TEXT", value_parser = given::reason)]
    why: String,
    /// Resume by itself after this time, by the clock of Postgres
    ///
    /// Default: pause until somebody runs `outflow resume`.
    #[arg(long = "for", value_name = "DURATION", value_parser = given::length)]
    length: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    which: Which,
}

pub(super) async fn pause(args: PauseArgs, config: Config) -> Result<(), Fault> {
    let PauseArgs { which, why, length } = args;
    let mut outboxes = pause::chosen(&config.outboxes, which.outbox.as_deref())?;
    if let Some(stream) = &which.stream {
        let is_unknown = pause::writers(&outboxes, stream).is_empty();
        let known = if is_unknown { known_streams(&config, &outboxes).await } else { Vec::new() };
        outboxes = given::stream(&outboxes, stream, &known)?;
    }
    let client = to_postgres(&config, "outflow pause").await?;
    let targets = pause::registered(&client, &outboxes).await?;
    let request = Request { stream: which.stream, why, length };
    let outcomes = pause::pause(&client, &targets, &request, &Who::command_line())
        .await
        .map_err(pause::refused)?;
    if let Some(stream) = &request.stream {
        tell_unseen(&config, &outboxes, stream).await;
    }
    let mut too_many = Vec::new();
    for outcome in outcomes {
        let (paused, before) = match outcome {
            Outcome::Paused(paused, before) => (paused, before),
            Outcome::TooMany(outbox) => {
                too_many.push(outbox);
                continue;
            }
        };
        if let Some(before) = before {
            let text = format!("{} was paused before, {before}", name(&paused));
            terminal::say(format_args!(
                "outflow: {}; this pause replaces it",
                printable(&text, LINE)
            ));
        }
        if which.json {
            output::json(&paused)?;
        } else {
            let text = format!("{}: paused {}", name(&paused), paused.pause);
            output::line(printable(&text, LINE))?;
        }
    }
    if too_many.is_empty() {
        return Ok(());
    }
    let what = format!("{} has {PAUSES_MAX} pauses already", too_many.join(", "));
    Err(Fault::failed(what).remedy("pause the whole outbox, or resume streams"))
}

pub(super) async fn resume(args: ResumeArgs, config: Config) -> Result<(), Fault> {
    let Which { outbox, stream, json } = args.which;
    let outboxes = pause::chosen(&config.outboxes, outbox.as_deref())?;
    let client = to_postgres(&config, "outflow resume").await?;
    let targets = pause::registered(&client, &outboxes).await?;
    let who = Who::command_line();
    let gone =
        pause::resume(&client, &targets, stream.as_deref(), &who).await.map_err(pause::refused)?;
    let (over, resumed): (Vec<_>, Vec<_>) = gone.into_iter().partition(|(_, is_over)| *is_over);
    for (resumed, _) in &resumed {
        if json {
            output::json(resumed)?;
        } else {
            let text = format!("{}: resumed; it was paused {}", name(resumed), resumed.pause);
            output::line(printable(&text, LINE))?;
        }
    }
    let current = pause::current(&client, &targets).await.map_err(pause::refused)?;
    if !resumed.is_empty() {
        let is_of_one = |left: &&PauseOf| resumed.iter().any(|(one, _)| one.outbox == left.outbox);
        for left in current.iter().filter(is_of_one) {
            let text = format!("{} stays paused {}", name(left), left.pause);
            terminal::say(format_args!("outflow: {}", printable(&text, LINE)));
        }
        return Ok(());
    }
    if let Some(stream) = stream.as_ref().filter(|_| over.is_empty())
        && pause::writers(&outboxes, stream).is_empty()
    {
        let known = known_streams(&config, &outboxes).await;
        return Err(pause::unknown_stream(&outboxes, stream, &known));
    }
    Err(not_paused(&outboxes, stream.as_deref(), &over, &current))
}

/// Nothing was resumed: why, and what is paused.
fn not_paused(
    outboxes: &[&OutboxOptions],
    stream: Option<&str>,
    over: &[(PauseOf, bool)],
    current: &[PauseOf],
) -> Fault {
    let names: Vec<&str> = outboxes.iter().map(|outbox| outbox.name.as_str()).collect();
    let stream = stream.map(|stream| format!("stream {stream} of ")).unwrap_or_default();
    let is_not = format!("nothing was resumed: {stream}{} is not paused", names.join(", "));
    let over = over.iter().filter_map(|(over, _)| {
        Some(format!("the pause of {} was over at {:.0}", name(over), over.pause.until?))
    });
    let paused = current.iter().map(|one| format!("{} is paused {}", name(one), one.pause));
    let told: Vec<String> = std::iter::once(is_not).chain(over).chain(paused).collect();
    let what = told.join("; ");
    if current.is_empty() {
        return Fault::failed(printable(&what, LINE));
    }
    Fault::failed(printable(&what, LINE)).remedy("name one of these with --outbox and --stream")
}

fn name(of: &PauseOf) -> String {
    match &of.pause.stream {
        Some(stream) => format!("{}: stream {stream}", of.outbox),
        None => of.outbox.clone(),
    }
}

/// A name that no stream has yet may be a slip.
async fn tell_unseen(config: &Config, outboxes: &[&OutboxOptions], stream: &str) {
    // One that all rows have is no slip.
    if outboxes.iter().any(|outbox| outbox.stream.columns().next().is_none()) {
        return;
    }
    let Some(redis) = redis(config).await else { return };
    let length = redis.call("XLEN", Words::from([stream])).await;
    redis.close().await;
    if !length.is_ok_and(|length| length.int() == Some(0)) {
        return;
    }
    let known = known_streams(config, outboxes).await;
    let mut text = format!("Redis has no stream {stream} yet");
    if !known.is_empty() {
        text = format!("{text}; the streams in Redis are {}", known.join(", "));
    }
    terminal::say(format_args!("outflow: {}", printable(&text, LINE)));
}

/// What there is in Redis of templates with columns, as far as that is known soon.
async fn known_streams(config: &Config, outboxes: &[&OutboxOptions]) -> Vec<String> {
    let mut known = Vec::new();
    let Some(redis) = redis(config).await else { return known };
    let many = outboxes.iter().filter(|outbox| outbox.stream.columns().next().is_some());
    for outbox in many {
        // On a cluster all streams of an outbox are in one slot.
        let tag = outbox.stream.hash_tag().unwrap_or_default();
        if let Ok(server) = redis.server_of(tag).await {
            known.extend(streams_of(&server, &outbox.stream).await.unwrap_or_default());
        }
    }
    redis.close().await;
    known.sort_unstable();
    known.dedup();
    known
}

/// Redis, if it answers soon. It may be under maintenance, and is not needed.
async fn redis(config: &Config) -> Option<Redis> {
    let redis = Redis::connect(&config.redis, "outflow pause").ok()?;
    redis.ready(REDIS_LIMIT).await.ok()?;
    Some(redis)
}
