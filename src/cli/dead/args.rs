//! What `outflow dead` can be asked.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::operate::dead_letters::Filter;
use outflow_service::terminal::since;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DeadCommand {
    /// List dead letters, oldest first
    List(ListArgs),
    /// Show dead letters with every field, including the payload
    Show(ShowArgs),
    /// Retry dead letters: insert them into their event table again, in their original order
    ///
    /// Fix the cause first (for example `event_bytes_max`, or the columns that name the stream);
    /// otherwise the events are dead-lettered again. Retried events get new order numbers, so they
    /// are appended after newer events with the same key.
    Retry(ActArgs),
    /// Delete dead letters permanently
    Discard(ActArgs),
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct FilterArgs {
    /// Only events of this outbox
    #[arg(long, value_name = "NAME")]
    pub(super) outbox: Option<String>,
    /// Only events with this reason: `no_stream`, `too_large`, `refused`, `unreadable` or
    /// `null_column`
    #[arg(long)]
    pub(super) reason: Option<String>,
    /// Only events for this stream; `--stream ''` selects those without one
    #[arg(long)]
    pub(super) stream: Option<String>,
    /// Only events of this type, such as `OrderCreated`
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) kind: Option<String>,
    /// Only events with this ordering key
    #[arg(long)]
    pub(super) key: Option<String>,
    /// Only events dead-lettered at or after this time
    ///
    /// Either a duration before now (`90m`, `2d`) or a time (`2026-01-31T12:00:00Z`).
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub(super) since: Option<Timestamp>,
    /// Only events dead-lettered before this time, in the same formats as `--since`
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub(super) until: Option<Timestamp>,
    /// Maximum number of events
    ///
    /// Default: 100 for `list`, no limit for the other commands.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(super) limit: Option<i64>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// Print one JSON object per line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// Numbers of the dead letters, as shown by `list`
    #[arg(required = true, value_name = "ID")]
    pub(super) ids: Vec<i64>,
    /// Print one JSON object per line
    #[arg(long)]
    pub(super) json: bool,
}

#[expect(clippy::struct_excessive_bools, reason = "a flag each")]
#[derive(Debug, Args)]
pub(in crate::cli) struct ActArgs {
    /// Numbers of the dead letters, as shown by `list`
    ///
    /// Default: all that match the filters.
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<i64>,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// Print what would be done, without doing it
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    pub(super) yes: bool,
    /// Select every dead letter; required by `discard --yes` without a filter
    #[arg(long)]
    pub(super) all: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

impl From<FilterArgs> for Filter {
    fn from(args: FilterArgs) -> Self {
        let FilterArgs { outbox, reason, stream, kind, key, since, until, limit } = args;
        Self { outbox, reason, stream, kind, key, since, until, limit, ..Self::default() }
    }
}

impl From<&ActArgs> for Filter {
    fn from(args: &ActArgs) -> Self {
        let ids = (!args.ids.is_empty()).then(|| args.ids.clone());
        Self { ids, ..args.filter.clone().into() }
    }
}
