//! Validation: bounds, addresses, templates, names that clash.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::file::{self, File, SettleKind};
use super::percent::Percent;
use super::{Config, MemoryLimits, Problem};
use crate::relay::options::{Columns, Keep, OutboxOptions, Settle};
use outflow_connect::{postgres, redis};

const BATCH_ROWS: RangeInclusive<usize> = 1..=10_000;
const IN_FLIGHT: RangeInclusive<usize> = 1..=16;
const BATCH_BYTES: RangeInclusive<u64> = 1_024..=64 << 20;
/// Redis takes a value of 512 MiB at most, and a stream's entry must fit one node.
const EVENT_BYTES_MAX: RangeInclusive<u64> = 1..=256 << 20;
/// Longer, and events would wait for nothing that is worth it.
const LINGER: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(1);
/// More than anybody has of one server.
const WAIT_REPLICAS: RangeInclusive<usize> = 0..=16;
const POLL_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);

const CONTROL_URL: &str = "postgres.control_url";

pub(super) fn validate(file: File, defaults: File) -> Result<Config, Problem> {
    let postgres = postgres::server(&file.postgres.url, "outflow")
        .map_err(|error| Problem::of_fault("postgres.url", error))?;
    let control = Some(&file.postgres.control_url).filter(|url| !url.expose_secret().is_empty());
    let control = control.map(|url| postgres::server(url, "outflow")).transpose();
    let control = control.map_err(|error| Problem::of_fault(CONTROL_URL, error))?;
    let control = control.map(|server| server.given_by(CONTROL_URL));
    let redis =
        redis::server(&file.redis.url).map_err(|error| Problem::of_fault("redis.url", error))?;
    let admin_listen = file.admin.listen.parse().map_err(|_| {
        Problem::new(
            "admin.listen",
            format!("found {:?}, expected an address such as 127.0.0.1:9464", file.admin.listen),
        )
    })?;
    if let Err(message) = outflow_service::telemetry::check_level(&file.log.level) {
        return Err(Problem::new("log.level", message));
    }
    let tracing_endpoint = optional(Some(file.tracing.endpoint));
    if let Some(Err(message)) = tracing_endpoint.as_deref().map(super::endpoint::check_endpoint) {
        return Err(Problem::new("tracing.endpoint", message));
    }
    let Some(default) = defaults.outbox.into_iter().next() else {
        return Err(Problem::new("outbox", "the example has none"));
    };
    let outboxes = file.outbox.into_iter().enumerate();
    let outboxes: Vec<OutboxOptions> = outboxes
        .map(|(index, given)| {
            outbox(given.or(default.clone())).map_err(|p| p.below(&format!("outbox.{index}")))
        })
        .collect::<Result<_, _>>()?;
    if outboxes.is_empty() {
        return Err(Problem::new(
            "outbox",
            "there is none; expected at least one [[outbox]] section",
        ));
    }
    clashes(&outboxes)?;
    if redis.is_cluster() {
        in_one_slot(&outboxes)?;
    }
    let wait_replicas =
        within(Some(file.redis.wait_replicas), WAIT_REPLICAS, "redis.wait_replicas")?;
    Ok(Config {
        postgres,
        control,
        redis,
        wait_replicas,
        memory: memory(file.redis.memory_pause, file.redis.memory_resume)?,
        secret_files: Vec::new(),
        notices: Vec::new(),
        admin_listen,
        console: file.console.validate().map_err(|problem| problem.below("console"))?,
        log_level: file.log.level,
        log_format: file.log.format,
        tracing_endpoint,
        shutdown_grace: file.shutdown_grace,
        outboxes,
    })
}

fn outbox(given: file::Outbox) -> Result<OutboxOptions, Problem> {
    super::trim::moved(given.max_len)?;
    let columns = given.columns.ok_or_else(|| missing("columns"))?;
    super::keep::no_mark(columns.settled.as_deref())?;
    let keep = given.keep.ok_or_else(|| missing("keep"))?;
    let keep = super::keep::validate(&keep).map_err(|problem| problem.below("keep"))?;
    let settle = match given.settle.ok_or_else(|| missing("settle"))? {
        SettleKind::Delete => Settle::Delete,
        SettleKind::Keep => {
            Settle::Keep(Keep { xid: required(columns.xid.clone(), "columns.xid")?, ..keep })
        }
    };
    let trim = given.trim.ok_or_else(|| missing("trim")).and_then(super::trim::validate);
    let trim = trim.map_err(|problem| problem.below("trim"))?;
    let lag_max = super::trim::lag_max(given.lag_max, &trim)?;
    let table = required(given.table, "table")?;
    let stream = required(given.stream, "stream")?;
    Ok(OutboxOptions {
        name: required(given.name, "name").and_then(checked_name)?,
        table: table
            .parse()
            .map_err(|error| Problem::new("table", format!("found {table:?}: {error}")))?,
        stream: stream
            .parse()
            .map_err(|error| Problem::new("stream", format!("found {stream:?}: {error}")))?,
        format: given.format.ok_or_else(|| missing("format"))?,
        batch_rows: within(given.batch_rows, BATCH_ROWS, "batch_rows")?,
        batch_bytes: bytes(given.batch_bytes, BATCH_BYTES, "batch_bytes")?,
        in_flight: within(given.in_flight, IN_FLIGHT, "in_flight")?,
        poll_interval: duration(given.poll_interval, POLL_INTERVAL, "poll_interval")?,
        notify: given.notify.ok_or_else(|| missing("notify"))?,
        linger: duration(given.linger, LINGER, "linger")?,
        park_max: given.park_max.filter(|max| !max.is_zero()),
        settle,
        trim,
        lag_max,
        event_bytes_max: bytes(given.event_bytes_max, EVENT_BYTES_MAX, "event_bytes_max")?,
        columns: mapping(columns)?,
    })
}

fn mapping(given: file::Columns) -> Result<Columns, Problem> {
    let id = required(given.id, "columns.id")?;
    Ok(Columns {
        order: optional(given.order).unwrap_or_else(|| id.clone()),
        id,
        event_id: required(given.event_id, "columns.event_id")?,
        key: optional(given.key),
        kind: required(given.kind, "columns.type")?,
        payload: required(given.payload, "columns.payload")?,
        headers: optional(given.headers),
        time: optional(given.time),
    })
}

/// Between the two it neither stops nor goes on.
fn memory(pause: Percent, resume: Percent) -> Result<Option<MemoryLimits>, Problem> {
    let (Percent(pause), Percent(resume)) = (pause, resume);
    if pause == 0 {
        return Ok(None);
    }
    if resume == 0 || resume >= pause {
        let message =
            format!("found \"{resume}%\", expected less than memory_pause ({pause}%), and not 0");
        return Err(Problem::new("redis.memory_resume", message));
    }
    Ok(Some(MemoryLimits { pause, resume }))
}

/// One script appends a batch with its journal, and on a cluster it reaches one slot.
fn in_one_slot(outboxes: &[OutboxOptions]) -> Result<(), Problem> {
    let Some(index) = outboxes.iter().position(|outbox| outbox.stream.hash_tag().is_none()) else {
        return Ok(());
    };
    let OutboxOptions { name, stream, .. } = &outboxes[index];
    let message = format!(
        "found {:?}, expected streams in one slot of the Redis cluster: put a hash tag, in \
            doubled braces, before the first \
         column, such as \"{{{{{name}}}}}.{stream}\"",
        stream.to_string()
    );
    Err(Problem::new(format!("outbox.{index}.stream"), message))
}

fn clashes(outboxes: &[OutboxOptions]) -> Result<(), Problem> {
    let (mut names, mut tables) = (HashSet::new(), HashSet::new());
    for (index, outbox) in outboxes.iter().enumerate() {
        if !names.insert(&outbox.name) {
            let message =
                format!("{:?} is the name of another outbox too; names must differ", outbox.name);
            return Err(Problem::new(format!("outbox.{index}.name"), message));
        }
        if !tables.insert(&outbox.table) {
            let message =
                format!("{} is drained by another outbox too; give each table once", outbox.table);
            return Err(Problem::new(format!("outbox.{index}.table"), message));
        }
    }
    Ok(())
}

/// A name is a metric label and part of messages.
fn checked_name(name: String) -> Result<String, Problem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.len() <= 63 && name.chars().all(fits) {
        Ok(name)
    } else {
        Err(Problem::new(
            "name",
            format!("found {name:?}, expected at most 63 letters, digits, '_', '-' or '.'"),
        ))
    }
}

fn required(value: Option<String>, key: &str) -> Result<String, Problem> {
    optional(value).ok_or_else(|| Problem::new(key, "is empty"))
}

fn optional(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

fn missing(key: &str) -> Problem {
    Problem::new(key, "is missing")
}

fn within(value: Option<usize>, range: RangeInclusive<usize>, key: &str) -> Result<usize, Problem> {
    let value = value.ok_or_else(|| missing(key))?;
    if range.contains(&value) {
        return Ok(value);
    }
    Err(Problem::new(
        key,
        format!("found {value}, expected a number from {} to {}", range.start(), range.end()),
    ))
}

fn bytes(
    value: Option<bytesize::ByteSize>,
    range: RangeInclusive<u64>,
    key: &str,
) -> Result<usize, Problem> {
    let value = value.ok_or_else(|| missing(key))?;
    let size = |bytes: u64| bytesize::ByteSize::b(bytes).to_string();
    match usize::try_from(value.as_u64()) {
        Ok(bytes) if range.contains(&value.as_u64()) => Ok(bytes),
        _ => Err(Problem::new(
            key,
            format!(
                "found {value}, expected a size from {} to {}",
                size(*range.start()),
                size(*range.end())
            ),
        )),
    }
}

fn duration(
    value: Option<Duration>,
    range: RangeInclusive<Duration>,
    key: &str,
) -> Result<Duration, Problem> {
    let value = value.ok_or_else(|| missing(key))?;
    if range.contains(&value) {
        return Ok(value);
    }
    let text = |duration: Duration| humantime::format_duration(duration).to_string();
    let message = format!(
        "found {}, expected {} to {}",
        text(value),
        text(*range.start()),
        text(*range.end())
    );
    Err(Problem::new(key, message))
}
