//! `outflow stream dead retry` and `discard`: chosen first, so that the command counts, asks about
//! and acts on the same dead letters.

use std::time::Duration;

use super::args::ActArgs;
use super::look::{chosen, open};
use super::show::listed;
use crate::cli::output;
use crate::config::Config;
use crate::operate::connect::redis_failed as failed;
use outflow_connect::redis::Failure;
use outflow_consumer::{DeadFilter, DeadLetter, DeadLetters, Retried};
use outflow_core::fault::Fault;
use outflow_service::terminal;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Retry,
    Discard,
}

impl Act {
    /// What is asked about, and what was done.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Retry => ("put back", "retried"),
            Self::Discard => ("delete for good", "discarded"),
        }
    }

    /// As the audit has it.
    fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Discard => "discard",
        }
    }
}

pub(super) async fn act(args: &ActArgs, config: &Config, act: Act) -> Result<(), Fault> {
    let filter = args.which.filter.filter(args.which.ids.as_slice());
    if act == Act::Discard && args.yes && !args.all && !args.dry_run && filter.is_empty() {
        return Err(Fault::failed(
            "`discard --yes` without a filter would delete every dead letter; nothing was done",
        )
        .remedy("select letters by id or filter, or add --all"));
    }
    let dead = open(&args.which, config).await?;
    let letters = chosen(&dead, &args.which, &filter).await?;
    let (verb, done) = act.words();
    let total = letters.len();
    if args.dry_run {
        if args.json {
            return output::json(&serde_json::json!({ format!("would_be_{done}"): total }));
        }
        listed(&letters)?;
        return output::line(format!("{total} would be {done}"));
    }
    if total > 0 && !output::confirm(&format!("{verb} {total} dead letters?"), args.yes)? {
        return Err(Fault::failed("nothing was done"));
    }
    let count = if total > 0 { all(&dead, &letters, &filter, args.rate, act).await? } else { 0 };
    let left = total - count;
    if left > 0 {
        terminal::say(format_args!("outflow: {left} were not {done}"));
    }
    if args.json {
        return output::json(&serde_json::json!({ done: count, "not_done": left }));
    }
    output::line(format!("{count} {done}"))
}

/// Each in one step; the audit says before and after it what was done. Returns how many were.
async fn all(
    dead: &DeadLetters,
    letters: &[DeadLetter],
    filter: &DeadFilter,
    rate: Option<u32>,
    act: Act,
) -> Result<usize, Fault> {
    let noted = dead.note(act.name(), letters.len(), filter).await;
    noted.map_err(|failure| untraced(&dead.audit_stream(), failure))?;
    let mut pace = rate.map(|rate| tokio::time::interval(Duration::from_secs(1) / rate));
    let mut count = 0;
    let mut outcome = Ok(());
    for letter in letters {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        match one(dead, letter, act).await {
            Ok(is_done) => count += usize::from(is_done),
            Err(failure) => {
                outcome = Err(failure);
                break;
            }
        }
    }
    // Also of what was cut short.
    if let Err(failure) = dead.note(&format!("{} done", act.name()), count, filter).await {
        terminal::say(format_args!(
            "outflow: the end of it is not in {}: {failure}",
            dead.audit_stream()
        ));
    }
    let (_, done) = act.words();
    outcome
        .map(|()| count)
        .map_err(|failure| failed(failure).at(format_args!("{count} {done}, then")))
}

/// Whether it was there and could be moved.
async fn one(dead: &DeadLetters, letter: &DeadLetter, act: Act) -> Result<bool, Failure> {
    match act {
        Act::Discard => dead.discard(letter).await,
        Act::Retry => Ok(match dead.retry(letter).await? {
            Retried::As(_) => true,
            Retried::NotWhole => {
                terminal::say(format_args!(
                    "outflow: {}: not retried, because only its beginning was kept",
                    letter.id
                ));
                false
            }
            _ => false,
        }),
    }
}

fn untraced(stream: &str, failure: Failure) -> Fault {
    let may_not = failure.is_forbidden();
    let because = "nothing was done, because the command must leave a trace in";
    let fault = failed(failure).at(format_args!("{because} {stream}"));
    if may_not {
        let rule = format!("ACL SETUSER NAME (+xadd ~{stream})");
        fault.remedy(format!("let the user write there: {rule}, and ACL SAVE"))
    } else {
        fault
    }
}
