//! `outflow dead retry` and `discard`: chosen first, so that what is counted, asked about and done
//! is the same.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::args::ActArgs;
use super::look::{known_reason, looking, missing};
use crate::cli::output;
use crate::config::Config;
use crate::operate::audit::Who;
use crate::operate::dead_letters::{self, Act, Chosen, Filter};
use outflow_core::fault::Fault;
use outflow_service::terminal;

pub(super) async fn act(
    client: &mut Client,
    config: &Config,
    args: &ActArgs,
    act: Act,
) -> Result<(), Fault> {
    let filter = Filter::from(args);
    if act == Act::Discard && args.yes && !args.all && !args.dry_run && filter.is_empty() {
        return Err(Fault::failed(
            "`discard --yes` without a filter would delete every dead letter; nothing was done",
        )
        .remedy("select letters by number or filter, or add --all"));
    }
    known_reason(client, filter.reason.as_deref()).await?;
    let (verb, done) = act.words();
    let chosen = looking(client, dead_letters::choose(client, &filter)).await?;
    missing(&args.ids, chosen.iter().map(|letter| letter.id))?;
    for (outbox, reason, count) in counted(&chosen) {
        terminal::say(format_args!("outflow: {outbox}: {count} × {reason}"));
    }
    let total = chosen.len();
    let (what, mut count) = if args.dry_run {
        (format!("would_be_{done}"), total as u64)
    } else {
        (done.to_owned(), 0)
    };
    if total > 0 && !args.dry_run {
        if !output::confirm(&format!("{verb} {total} dead letters?"), args.yes)? {
            return Err(Fault::failed("nothing was done"));
        }
        let who = Who::command_line();
        count = dead_letters::act(client, config, act, &who, &filter, &chosen).await?;
    }
    if args.json {
        return output::json(&serde_json::json!({ what: count }));
    }
    output::line(format!("{count} {}", what.replace('_', " ")))
}

fn counted(chosen: &[Chosen]) -> Vec<(&str, &str, usize)> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for letter in chosen {
        *counts.entry((&letter.outbox, &letter.reason)).or_default() += 1;
    }
    counts.into_iter().map(|((outbox, reason), count)| (outbox, reason, count)).collect()
}
