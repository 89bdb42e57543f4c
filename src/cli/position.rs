//! `outflow position`: how far kept outboxes have been read, and from where to go on.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::connect::{failed, to_postgres};
use super::output;
use crate::config::Config;
use crate::operate::pause::chosen;
use crate::operate::position::{self, Journaled, Moved, Refused, Registered, Request, Shown, To};
use crate::relay::options::{Keep, OutboxOptions, Settle};
use outflow_connect::redis::Redis;
use outflow_core::escape::printable;
use outflow_core::fault::{Fault, FaultKind};
use outflow_service::terminal::since;

/// Columns of a line.
const LINE: usize = 1_000;
/// How long to wait for Redis.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const NAME: &str = "outflow position";

#[derive(Debug, Subcommand)]
pub(super) enum PositionCommand {
    /// Show how far kept outboxes have been read
    ///
    /// Shows the journal in Redis, the copy in Postgres, and how many rows wait. Changes nothing.
    Show(ShowArgs),
    /// Set from where a kept outbox goes on
    ///
    /// Stop every relay of the outbox first. Rows that have the transaction number of another
    /// server (a restored dump, logical replication) get new numbers. Recorded in `outflow.audit`.
    Set(SetArgs),
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Only this outbox
    ///
    /// Default: every outbox with `settle = "keep"`.
    #[arg(long, value_name = "NAME")]
    outbox: Option<String>,
    /// Print one JSON object per outbox
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// The outbox
    #[arg(long, value_name = "NAME")]
    outbox: String,
    #[command(flatten)]
    to: ToArgs,
    /// Only print what would be sent again and what would be skipped
    #[arg(long)]
    dry_run: bool,
    /// Take over a journal that another Postgres server wrote
    ///
    /// Only if that server is gone for good.
    #[arg(long)]
    take_over: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ToArgs {
    /// Skip every row that is committed now
    #[arg(long)]
    now: bool,
    /// Send every row that is kept
    #[arg(long)]
    beginning: bool,
    /// Continue from the copy in Postgres
    #[arg(long)]
    copy: bool,
    /// Skip rows up to the last one, by the order column, with an earlier time
    ///
    /// Either a duration before now (`90m`, `2d`) or a time (`2026-01-31T12:00:00Z`).
    #[arg(long, value_name = "TIME", value_parser = since)]
    at: Option<Timestamp>,
    /// Skip rows up to this value of the order column
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    id: Option<i64>,
}

impl ToArgs {
    fn to(&self) -> To {
        match (self.at, self.id) {
            (Some(time), _) => To::At(time),
            (_, Some(id)) => To::Id(id),
            _ if self.now => To::Now,
            _ if self.copy => To::Copy,
            _ => To::Beginning,
        }
    }
}

pub(super) async fn run(command: PositionCommand, config: Config) -> Result<(), Fault> {
    match command {
        PositionCommand::Show(args) => show(&args, &config).await,
        PositionCommand::Set(args) => set(&args, &config).await,
    }
}

async fn show(args: &ShowArgs, config: &Config) -> Result<(), Fault> {
    let all = chosen(&config.outboxes, args.outbox.as_deref())?;
    let outboxes: Vec<(&OutboxOptions, &Keep)> = match args.outbox {
        Some(_) => all.into_iter().map(kept).collect::<Result<_, _>>()?,
        None => all.into_iter().filter_map(|outbox| kept(outbox).ok()).collect(),
    };
    if outboxes.is_empty() {
        return Err(Fault::configuration("no outbox of this configuration is kept")
            .remedy("only an outbox with settle = \"keep\" has a position"));
    }
    let client = to_postgres(config, NAME).await?;
    let redis = to_redis(config).await?;
    for (outbox, keep) in outboxes {
        let known = registered(&client, outbox).await?;
        let journaled = Journaled::read(&redis, outbox, &known).await;
        let journaled = journaled.map_err(|why| Fault::unreachable(format!("Redis: {why}")))?;
        let shown = position::show(&client, outbox, keep, &known, &journaled).await;
        let shown = shown.map_err(failed)?.map_err(Fault::failed)?;
        if args.json {
            output::json(&shown)?;
        } else {
            output::line(told(&shown))?;
        }
    }
    redis.close().await;
    Ok(())
}

async fn set(args: &SetArgs, config: &Config) -> Result<(), Fault> {
    let all = chosen(&config.outboxes, Some(&args.outbox))?;
    let outbox = *all.first().ok_or_else(|| Fault::configuration("no such outbox"))?;
    let (outbox, keep) = kept(outbox)?;
    let fence = to_postgres(config, NAME).await?;
    let mut client = to_postgres(config, NAME).await?;
    let redis = to_redis(config).await?;
    let known = registered(&client, outbox).await?;
    let SetArgs { dry_run, take_over, .. } = *args;
    let request = Request { to: args.to.to(), dry_run, take_over };
    let moved = position::set(&fence, &mut client, &redis, (outbox, keep), &known, &request).await;
    redis.close().await;
    let moved = moved.map_err(|refused| match refused {
        Refused::Postgres(error) => failed(error),
        Refused::Fault(fault) => fault,
    })?;
    if args.json { output::json(&moved) } else { output::line(result(&moved)) }
}

fn kept(outbox: &OutboxOptions) -> Result<(&OutboxOptions, &Keep), Fault> {
    match &outbox.settle {
        Settle::Keep(keep) => Ok((outbox, keep)),
        Settle::Delete => {
            let what = format!("outbox {:?} deletes its rows, so it has no position", outbox.name);
            Err(Fault::configuration(what).remedy("name one with settle = \"keep\""))
        }
    }
}

async fn registered(
    client: &tokio_postgres::Client,
    outbox: &OutboxOptions,
) -> Result<Registered, Fault> {
    position::registered(client, outbox).await.map_err(failed)?.ok_or_else(|| {
        Fault::new(FaultKind::Unfit, format!("{} is not registered", outbox.table))
            .remedy("run `outflow migrate` with this configuration")
    })
}

async fn to_redis(config: &Config) -> Result<Redis, Fault> {
    let redis =
        Redis::connect(&config.redis, NAME).map_err(|bad| Fault::from(bad).at("redis.url"))?;
    redis.ready(CONNECT_LIMIT).await?;
    Ok(redis)
}

fn told(shown: &Shown) -> String {
    let mut lines = vec![format!("{}  {}", shown.outbox, shown.table)];
    let mut line =
        |name: &str, text: String| lines.push(format!("  {name:<13}{}", printable(&text, LINE)));
    match &shown.journal {
        None => line("journal", "none in Redis".to_owned()),
        Some(journal) => {
            let open = if journal.open { "open" } else { "closed" };
            let server = journal.server.as_deref().unwrap_or("an unknown Postgres");
            let other = if journal.is_of_this_server { "" } else { ", which is not this one" };
            line(
                "journal",
                format!("generation {}, {open}, of {server}{other}", journal.generation),
            );
            for member in &journal.members {
                for part in &member.parts {
                    let (number, batch) = (member.member, member.batch);
                    line("member", format!("#{number}, batch {batch}, {}", part.told()));
                }
            }
        }
    }
    if shown.copies.is_empty() {
        line("copy", "none in Postgres".to_owned());
    }
    for copy in &shown.copies {
        let age = copy.copied_at.map(|at| {
            let age = Timestamp::now().duration_since(at).as_secs_f64().max(0.0);
            format!(", {age:.1} s old")
        });
        let of = format!("#{} in generation {}", copy.member, copy.generation);
        line("copy", format!("{of}, batch {}{}", copy.batch, age.unwrap_or_default()));
    }
    if let Some(time) = shown.newest_read_at {
        line("newest read", format!("{time:.0}"));
    }
    let more = if shown.unread_is_capped { "at least " } else { "" };
    line("unread", format!("{more}{} rows", shown.unread_rows));
    lines.join("\n")
}

fn result(moved: &Moved) -> String {
    let Moved { outbox, sent_again, skipped, renumbered, .. } = moved;
    let (done, will) = match moved.generation {
        Some(generation) => (format!("position set, generation {generation}"), "will be"),
        None => ("nothing was changed (--dry-run)".to_owned(), "would be"),
    };
    let mut lines = vec![format!("{outbox}: {done}")];
    let parts = [("from", &moved.from), ("to", &moved.to)];
    for (name, parts) in parts {
        if parts.is_empty() {
            lines.push(format!("  {name:<6}before every row"));
        }
        lines.extend(
            parts.iter().map(|part| format!("  {name:<6}{}", printable(&part.told(), LINE))),
        );
    }
    let least = if moved.is_capped { "at least " } else { "" };
    lines.push(format!("  {least}{sent_again} rows {will} sent again, {skipped} {will} skipped"));
    if *renumbered > 0 {
        lines.push(format!(
            "  {renumbered} rows with transaction numbers of another server {will} numbered anew"
        ));
    }
    lines.join("\n")
}
