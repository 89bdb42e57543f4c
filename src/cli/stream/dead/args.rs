//! What `outflow stream dead` can be asked.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use jiff::Timestamp;

use outflow_consumer::{DeadFilter, EntryId, Source};
use outflow_service::terminal::since;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DeadCommand {
    /// List dead letters, the oldest first
    List(LookArgs),
    /// Show dead letters with all their fields
    Show(LookArgs),
    /// Put dead letters back at the end of their stream, for all its groups
    ///
    /// Correct the cause first, or they come back here. They are appended after newer entries with
    /// the same key.
    Retry(ActArgs),
    /// Delete dead letters permanently
    Discard(ActArgs),
}

/// Which dead letters, and where.
#[derive(Debug, Args)]
pub(in crate::cli) struct WhichArgs {
    /// Stream whose dead letters are meant, such as `events.order`
    #[arg(value_name = "STREAM", value_parser = NonEmptyStringValueParser::new())]
    stream: String,
    /// Only these dead letters, by the ids that `list` shows
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<EntryId>,
    /// Stream that holds the dead letters. Default: `STREAM.dead`; on a cluster `{STREAM}.dead`
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    dead_letter_stream: Option<String>,
    /// File with the address of Redis, instead of the one in the configuration
    #[arg(long, value_name = "FILE")]
    pub(super) redis_url_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct FilterArgs {
    /// Only dead letters whose error contains these words, in any case
    #[arg(long, value_name = "WORDS")]
    reason: Option<String>,
    /// Only events of this type, such as `OrderCreated`
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only events with this ordering key
    #[arg(long)]
    key: Option<String>,
    /// Only entries that this consumer group could not handle
    #[arg(long)]
    group: Option<String>,
    /// Only entries dead-lettered at or after this time: a duration ago (`90m`, `2d`) or a time
    /// (`2026-01-31T12:00:00Z`)
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// Only entries dead-lettered before this time, given like `--since`
    #[arg(long, value_name = "WHEN", value_parser = since)]
    until: Option<Timestamp>,
    /// Maximum number of dead letters, the oldest first
    #[arg(long, value_name = "N", value_parser = limit)]
    limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LookArgs {
    #[command(flatten)]
    pub(super) which: WhichArgs,
    /// Print one JSON object per line
    #[arg(long)]
    pub(super) json: bool,
}

#[expect(clippy::struct_excessive_bools, reason = "a flag each")]
#[derive(Debug, Args)]
pub(in crate::cli) struct ActArgs {
    #[command(flatten)]
    pub(super) which: WhichArgs,
    /// Only show what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    pub(super) yes: bool,
    /// Confirm that every dead letter is meant; required for `discard --yes` without a filter
    #[arg(long)]
    pub(super) all: bool,
    /// Maximum number of dead letters per second. Default: no limit
    #[arg(
        long,
        value_name = "PER_SECOND",
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub(super) rate: Option<u32>,
    /// Print the outcome as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

impl DeadCommand {
    /// Whether it names a server of its own.
    pub(in crate::cli) fn has_address(&self) -> bool {
        let which = match self {
            Self::List(args) | Self::Show(args) => &args.which,
            Self::Retry(args) | Self::Discard(args) => &args.which,
        };
        which.redis_url_file.is_some()
    }
}

impl WhichArgs {
    pub(super) fn source(&self) -> Source {
        let source = Source::new(&self.stream);
        match &self.dead_letter_stream {
            Some(dead) => source.dead_letters_to(dead),
            None => source,
        }
    }
}

impl FilterArgs {
    pub(super) fn filter(&self, ids: &[EntryId]) -> DeadFilter {
        let mut filter = DeadFilter::default();
        filter.ids = (!ids.is_empty()).then(|| ids.to_vec());
        filter.reason.clone_from(&self.reason);
        filter.event_type.clone_from(&self.event_type);
        filter.key.clone_from(&self.key);
        filter.group.clone_from(&self.group);
        filter.since = self.since;
        filter.until = self.until;
        filter.limit = self.limit;
        filter
    }
}

fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse::<usize>().ok().filter(|limit| *limit > 0);
    limit.ok_or_else(|| "expected a number, 1 or more".to_owned())
}
