//! `outflow stream dead`: the entries that consumers could not handle. Works for every consumer
//! that is built with the library.

mod act;
mod args;
mod look;
mod show;

use act::{Act, act};
use look::{chosen, open};
use show::{listed, shown};

use crate::cli::output;
use crate::config::Config;
use outflow_core::fault::Fault;
use outflow_service::terminal;

pub(super) use args::DeadCommand;

/// Entries that `list` shows unless told otherwise.
const LIST_LIMIT: usize = 100;

pub(super) async fn run(command: DeadCommand, config: Config) -> Result<(), Fault> {
    match command {
        DeadCommand::List(args) => {
            let mut filter = args.which.filter.filter(args.which.ids.as_slice());
            let limit = filter.limit.unwrap_or(LIST_LIMIT);
            // One more than is shown tells whether there are more.
            filter.limit = Some(filter.limit.unwrap_or(LIST_LIMIT + 1));
            let dead = open(&args.which, &config).await?;
            let mut letters = chosen(&dead, &args.which, &filter).await?;
            if letters.len() > limit {
                letters.truncate(limit);
                terminal::say(format_args!(
                    "outflow: the first {limit} are shown; --limit shows more"
                ));
            }
            if args.json { letters.iter().try_for_each(output::json) } else { listed(&letters) }
        }
        DeadCommand::Show(args) => {
            let dead = open(&args.which, &config).await?;
            let filter = args.which.filter.filter(args.which.ids.as_slice());
            let letters = chosen(&dead, &args.which, &filter).await?;
            let show = |letter| if args.json { output::json(letter) } else { shown(letter) };
            letters.iter().try_for_each(show)
        }
        DeadCommand::Retry(args) => act(&args, &config, Act::Retry).await,
        DeadCommand::Discard(args) => act(&args, &config, Act::Discard).await,
    }
}
