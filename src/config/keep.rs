//! `[outbox.keep]`: how long the rows of a kept outbox stay, and what else goes with it.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Problem;
use super::file::{self, KEEP_INSTEAD};
use crate::relay::options::Keep;

const DURATION: RangeInclusive<Duration> = Duration::from_hours(1)..=Duration::from_hours(24 * 366);

/// `columns.settled` named the column that `settle = "mark"` set.
pub(super) fn no_mark(settled: Option<&str>) -> Result<(), Problem> {
    let Some(settled) = settled else { return Ok(()) };
    let problem = Problem::new("columns.settled", "was removed with settle = \"mark\"");
    Err(if settled.is_empty() {
        problem.remedy("remove it")
    } else {
        problem.remedy(format!("remove it and {KEEP_INSTEAD}"))
    })
}

/// All but the column, which another section names.
pub(super) fn validate(given: &file::Keep) -> Result<Keep, Problem> {
    let duration = given.duration.ok_or_else(|| missing("for"))?;
    if !DURATION.contains(&duration) {
        let found = humantime::format_duration(duration);
        return Err(Problem::new("for", format!("found {found}, expected 1h to 366d")));
    }
    // The clock of a partition counts whole seconds.
    if duration.subsec_nanos() != 0 {
        let found = humantime::format_duration(duration);
        return Err(Problem::new("for", format!("found {found}, expected whole seconds")));
    }
    Ok(Keep {
        xid: String::new(),
        keep: duration,
        on_loss: given.on_loss.ok_or_else(|| missing("on_loss"))?,
        layout: given.layout.ok_or_else(|| missing("layout"))?,
    })
}

fn missing(key: &str) -> Problem {
    Problem::new(key, "is missing")
}
