//! `outflow pause` and `outflow resume`.

use std::time::Duration;

use clap::Args;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::connect::{failed, to_postgres};
use super::output;
use crate::config::Config;
use crate::operate::pause::{
    self, Outcome, PAUSES_MAX, PauseOf, Request, STREAM_BYTES_MAX, Target, WHY_CHARS_MAX,
};
use crate::operate::status::streams_of;
use crate::relay::options::OutboxOptions;
use outflow_connect::postgres::describe;
use outflow_connect::redis::{Args as Words, Redis};
use outflow_core::escape::printable;
use outflow_core::fault::{Fault, FaultKind};
use outflow_service::terminal;

/// Columns of a line.
const LINE: usize = 1_000;
/// How long Redis is asked for names that help.
const REDIS_LIMIT: Duration = Duration::from_secs(2);
/// Longest pause that ends by itself.
const LENGTH_MAX: Duration = Duration::from_hours(24 * 366 * 10);

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
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    why: String,
    /// Resume by itself after this time, by the clock of Postgres
    ///
    /// Default: pause until somebody runs `outflow resume`.
    #[arg(long = "for", value_name = "DURATION", value_parser = length)]
    length: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    which: Which,
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err("it is empty; say why, for whoever finds the outbox paused".to_owned()),
        chars if chars > WHY_CHARS_MAX => {
            Err(format!("{chars} characters are too many; at most {WHY_CHARS_MAX}"))
        }
        _ => Ok(text.to_owned()),
    }
}

fn length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if length < Duration::from_secs(1) {
        return Err("expected 1s or more".to_owned());
    }
    if length > LENGTH_MAX {
        return Err("expected 10 years or less; leave it out to pause until resumed".to_owned());
    }
    Ok(length)
}

pub(super) async fn pause(args: PauseArgs, config: Config) -> Result<(), Fault> {
    let PauseArgs { which, why, length } = args;
    let mut outboxes = pause::chosen(&config.outboxes, which.outbox.as_deref())?;
    if let Some(stream) = &which.stream {
        let writers = pause::writers(&outboxes, stream);
        if writers.is_empty() {
            let known = known_streams(&config, &outboxes).await;
            return Err(pause::unknown_stream(&outboxes, stream, &known));
        }
        if stream.len() > STREAM_BYTES_MAX {
            let bytes = stream.len();
            return Err(Fault::failed(format!(
                "a stream whose name has {bytes} bytes cannot be paused; at most \
                    {STREAM_BYTES_MAX}"
            )));
        }
        outboxes = writers;
    }
    let client = to_postgres(&config, "outflow pause").await?;
    let targets = registered(&client, &outboxes).await?;
    let request = Request { stream: which.stream, why, length };
    let outcomes = pause::pause(&client, &targets, &request).await.map_err(refused)?;
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
    let targets = registered(&client, &outboxes).await?;
    let gone = pause::resume(&client, &targets, stream.as_deref()).await.map_err(refused)?;
    let (over, resumed): (Vec<_>, Vec<_>) = gone.into_iter().partition(|(_, is_over)| *is_over);
    for (resumed, _) in &resumed {
        if json {
            output::json(resumed)?;
        } else {
            let text = format!("{}: resumed; it was paused {}", name(resumed), resumed.pause);
            output::line(printable(&text, LINE))?;
        }
    }
    let current = pause::current(&client, &targets).await.map_err(refused)?;
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

async fn registered(client: &Client, outboxes: &[&OutboxOptions]) -> Result<Vec<Target>, Fault> {
    pause::targets(client, outboxes).await.map_err(refused)?.map_err(|table| {
        Fault::new(FaultKind::Unfit, format!("{table} is not registered"))
            .remedy("run `outflow migrate` with this configuration")
    })
}

fn refused(error: tokio_postgres::Error) -> Fault {
    if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        return failed(error);
    }
    Fault::failed(format!("nothing was done: {}", describe(&error)))
        .remedy(
            "run grants.sql again, or: grant usage on schema outflow to ROLE; grant select on \
                outflow.outbox to ROLE; grant select, insert, update, delete on outflow.pause to \
                ROLE; grant insert on outflow.audit to ROLE;",
        )
        .because(error)
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
