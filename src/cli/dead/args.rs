//! What `outflow dead` can be asked.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::operate::dead_letters::Filter;
use outflow_service::terminal::since;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DeadCommand {
    /// Show which there are, in the order in which they died.
    List(ListArgs),
    /// Show one or several with all that was kept, payload included.
    Show(ShowArgs),
    /// Put them back into their outbox, under new order numbers and in their original order.
    ///
    /// Mend the cause first (`event_bytes_max`, the columns of the stream's name), else they come
    /// back here.
    Retry(ActArgs),
    /// Delete them for good.
    Discard(ActArgs),
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct FilterArgs {
    /// Of this outbox.
    #[arg(long, value_name = "NAME")]
    pub(super) outbox: Option<String>,
    /// With this reason: `no_stream`, `too_large`, `refused`, `unreadable` or `null_column`.
    #[arg(long)]
    pub(super) reason: Option<String>,
    /// Meant for this stream.
    #[arg(long)]
    pub(super) stream: Option<String>,
    /// Of this type, such as `OrderCreated`.
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) kind: Option<String>,
    /// With this ordering key.
    #[arg(long)]
    pub(super) key: Option<String>,
    /// That died then or later: a duration ago (`90m`, `2d`) or a time (`2026-01-31T12:00:00Z`).
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub(super) since: Option<Timestamp>,
    /// That died before then, given like `--since`.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub(super) until: Option<Timestamp>,
    /// The first so many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(super) limit: Option<i64>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// One JSON object a line.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// Their numbers, as `list` shows them.
    #[arg(required = true, value_name = "ID")]
    pub(super) ids: Vec<i64>,
    /// One JSON object a line.
    #[arg(long)]
    pub(super) json: bool,
}

#[expect(clippy::struct_excessive_bools, reason = "a flag each")]
#[derive(Debug, Args)]
pub(in crate::cli) struct ActArgs {
    /// Only these, by the numbers that `list` shows; without numbers, all that the filters let
    /// through.
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<i64>,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// Only say what would be done.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub(super) yes: bool,
    /// Every dead letter: what `discard --yes` needs if no filter chooses some.
    #[arg(long)]
    pub(super) all: bool,
    /// The outcome as one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

impl From<FilterArgs> for Filter {
    fn from(args: FilterArgs) -> Self {
        let FilterArgs { outbox, reason, stream, kind, key, since, until, limit } = args;
        Self { ids: None, outbox, reason, stream, kind, key, since, until, limit }
    }
}

impl From<&ActArgs> for Filter {
    fn from(args: &ActArgs) -> Self {
        let ids = (!args.ids.is_empty()).then(|| args.ids.clone());
        Self { ids, ..args.filter.clone().into() }
    }
}
