//! What is asked before dead letters are acted on, and what was done, in words.

use crate::console::addresses;
use crate::console::jobs::Job;
use crate::console::parts::number;
use crate::console::said::Said;
use crate::operate::dead_letters::Act;

/// The question, such as `Retry 12 dead letters`.
pub(super) fn question(act: Act, letters: i64) -> String {
    let (verb, _) = act.words();
    let many = if letters == 1 { "dead letter" } else { "dead letters" };
    format!("{verb} {} {many}", number(letters))
}

/// What came of a job that was short, or the page of one that goes on.
pub(super) async fn outcome(job: &Job) -> Result<Said, String> {
    job.soon().await.ok_or_else(|| addresses::job(&job.id))
}

/// What was done, in words.
pub(super) fn said(act: Act, done: u64, is_stopped: bool) -> String {
    let (_, words) = act.words();
    let end = if is_stopped { ", then stopped" } else { "" };
    let done = number(i64::try_from(done).unwrap_or(i64::MAX));
    format!("{done} dead letters were {words}{end}.")
}
