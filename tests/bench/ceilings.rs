//! What the servers can do alone, measured by their own programs: pgbench with the claim's delete,
//! redis-benchmark.

use std::path::Path;

use outflow::config::{self, Source};
use outflow::relay::outbox::table::Table;
use outflow_local::{Program, find};

use super::Outcome;
use super::fill::payload;
use super::stage::{LIMIT, Stage};

/// What the relay sets in its sessions; the statement gets the same here.
const SESSION: &str = include_str!("../../src/relay/outbox/sql/session.sql");
/// As the relay's default.
const BATCH_ROWS: u64 = 1_000;

/// Where each delete starts to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// Behind the last row deleted, as the relay does.
    Moves,
    /// Always at the beginning, as one would write it by hand: it walks over what is deleted
    /// already.
    Stays,
}

/// Deletes so many rows with the claim's own statement, on one connection, and says how many it
/// deletes in a second, connecting left out. Each statement is its own transaction: the relay's
/// other round trips are not in it.
pub(crate) async fn delete(stage: &Stage, rows: u64, cursor: Cursor) -> Outcome<f64> {
    let file = stage.path().join("delete.sql");
    std::fs::write(&file, script(stage, cursor).await?)?;
    let (lower, before) =
        (stage.number("select min(id) - 1 from public.outbox").await?, stage.waiting().await?);
    let (file, lower) = (file.display().to_string(), format!("lower={lower}"));
    let transactions = (rows / BATCH_ROWS).to_string();
    let args =
        ["-n", "-M", "prepared", "-t", &transactions, "-f", &file, "-D", &lower, "-D", "xids={}"];
    let batches = pgbench(stage, &args, &session_options()).await?;
    let deleted = before - stage.waiting().await?;
    if deleted != i64::try_from(rows)? {
        return Err(format!("pgbench has deleted {deleted} rows instead of {rows}").into());
    }
    Ok(batches * as_f64(BATCH_ROWS))
}

/// Runs pgbench and returns its transactions a second, connecting left out.
pub(crate) async fn pgbench(stage: &Stage, args: &[&str], options: &str) -> Outcome<f64> {
    let port = stage.postgres.port().to_string();
    let server = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "postgres"];
    let args: Vec<&str> = args.iter().copied().chain(server).collect();
    let output = to_end(stage, "pgbench", &args, &[("PGOPTIONS", options)]).await?;
    let tps =
        output.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next());
    Ok(tps.ok_or_else(|| format!("pgbench said nothing of tps:\n{output}"))?.parse()?)
}

/// Entries a second that redis-benchmark appends to one stream: one connection, 1,000 XADDs on
/// their way at a time.
pub(crate) async fn xadd(stage: &Stage, entries: u64) -> Outcome<f64> {
    let (port, entries, payload) =
        (stage.redis.port().to_string(), entries.to_string(), payload(260));
    let id = uuid::Uuid::new_v4().to_string();
    let mut args =
        vec!["-h", "127.0.0.1", "-p", &port, "-c", "1", "-P", "1000", "-n", &entries, "--csv"];
    args.extend(["XADD", "events.ceiling", "*", "id", &id, "type", "OrderPlaced", "key", "123"]);
    args.extend(["time", "2026-11-21T00:00:00.000000Z", "payload", &payload]);
    let output = to_end(stage, "redis-benchmark", &args, &[]).await?;
    // "the command, whose payload may hold anything","rps", and six latencies
    let rps = output.lines().last().and_then(|line| line.rsplit("\",\"").nth(6));
    let rps = rps
        .ok_or_else(|| format!("redis-benchmark said nothing of requests a second:\n{output}"))?
        .parse()?;
    stage.clear_streams().await?;
    Ok(rps)
}

/// The statement as the relay makes it for this table, in pgbench's words. The ids are without
/// gaps, so that the cursor moves as the relay's does; no stream is parked.
async fn script(stage: &Stage, cursor: Cursor) -> Outcome<String> {
    let config = config::load(&Source { file: Some(stage.outflow.config().to_owned()) })?;
    let outbox = config.outboxes.first().ok_or("a configuration without an outbox")?;
    let claim = Table::inspect(&stage.client, outbox).await?.sql.claim;
    let generation =
        "(select generation from outflow.outbox where relation = 'public.outbox'::regclass)";
    let values = [":lower", ":xids", ":xids", "1000", "null", "null", "null", "null", generation];
    let statement =
        (1..).zip(values).fold(claim, |sql, (n, value)| sql.replace(&format!("${n}"), value));
    Ok(match cursor {
        Cursor::Moves => format!("{statement};\n\\set lower :lower + {BATCH_ROWS}\n"),
        Cursor::Stays => format!("{statement};\n"),
    })
}

/// `set name = value;` lines as PGOPTIONS, and what the claim sets in its transaction.
fn session_options() -> String {
    let settings = SESSION
        .lines()
        .filter_map(|line| line.strip_prefix("set ")?.strip_suffix(';')?.split_once(" = "));
    let options: Vec<String> =
        settings.map(|(name, value)| format!("-c {name}={}", value.trim_matches('\''))).collect();
    format!("-c outflow.claim=open {}", options.join(" "))
}

async fn to_end(
    stage: &Stage,
    name: &str,
    args: &[&str],
    envs: &[(&str, &str)],
) -> Outcome<String> {
    let program = find(name)?;
    // Each run has a log of its own.
    let dir = tempfile::tempdir_in(stage.path())?;
    let mut program = Program::start(name, Path::new(&program), args, envs, dir.path())?;
    let status = program.wait(LIMIT).await?;
    if status.success() {
        Ok(program.log())
    } else {
        Err(format!("{name}: {status}\n{}", program.log_tail()).into())
    }
}

/// Counts here are far below 2^52.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}
