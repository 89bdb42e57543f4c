//! `outflow dead`: the events that could not be appended.

mod act;
mod args;
mod look;
mod show;

use act::act;
use look::{known_reason, looking, missing};
use show::{listed, shown};

use super::connect::to_postgres;
use super::output;
use crate::config::Config;
use crate::operate::dead_letters::{self, Act, Filter};
use outflow_core::fault::Fault;
use outflow_service::terminal;

pub(super) use args::DeadCommand;

/// Rows that `list` shows unless told otherwise.
const LIST_LIMIT: i64 = 100;
pub(super) async fn run(command: DeadCommand, config: Config) -> Result<(), Fault> {
    let mut client = to_postgres(&config, "outflow dead").await?;
    match command {
        DeadCommand::List(args) => {
            known_reason(&client, args.filter.reason.as_deref()).await?;
            let limit = args.filter.limit.unwrap_or(LIST_LIMIT);
            let unlimited = args.filter.limit.is_none();
            // One more than is shown tells whether there are more.
            let filter = Filter { limit: Some(limit + i64::from(unlimited)), ..args.filter.into() };
            let mut letters = looking(&client, dead_letters::list(&client, &filter, false)).await?;
            let shown = usize::try_from(limit).unwrap_or(usize::MAX);
            if letters.len() > shown {
                letters.truncate(shown);
                terminal::say(format_args!(
                    "outflow: showing the first {limit}; use --limit to show more"
                ));
            }
            if args.json { letters.iter().try_for_each(output::json) } else { listed(&letters) }
        }
        DeadCommand::Show(args) => {
            let filter = Filter { ids: Some(args.ids.clone()), ..Filter::default() };
            let letters = looking(&client, dead_letters::list(&client, &filter, true)).await?;
            letters.iter().try_for_each(|letter| {
                if args.json { output::json(letter) } else { shown(letter) }
            })?;
            missing(&args.ids, letters.iter().map(|letter| letter.id))
        }
        DeadCommand::Retry(args) => act(&mut client, &config, &args, Act::Retry).await,
        DeadCommand::Discard(args) => act(&mut client, &config, &args, Act::Discard).await,
    }
}
