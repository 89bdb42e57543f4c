//! Events that went to the dead letters, collected so that the log has one line with counts and not
//! one for each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// Pause between two lines, at least. The first death is told at the next look.
const PAUSE: Duration = Duration::from_secs(10);
/// Reasons with streams that are told apart; the others are counted together.
const KINDS_MAX: usize = 20;
/// Of the event that is named, and what was said of it.
const EXAMPLE_CHARS_MAX: usize = 300;

/// What has died since the last line. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Deaths(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// By reason and stream.
    counts: BTreeMap<(&'static str, String), u64>,
    others: u64,
    /// One of them, and the server's words about it.
    example: Option<String>,
    told: Option<Instant>,
}

impl Deaths {
    pub(super) fn add(&self, reason: &'static str, stream: Option<&str>) {
        let mut state = self.state();
        let kind = (reason, stream.unwrap_or_default().to_owned());
        if state.counts.len() >= KINDS_MAX && !state.counts.contains_key(&kind) {
            state.others += 1;
        } else {
            *state.counts.entry(kind).or_default() += 1;
        }
    }

    /// The first of each line is named.
    pub(super) fn example(&self, event: &str, words: &str) {
        let mut state = self.state();
        if state.example.is_none() {
            state.example =
                Some(format!("{event}: {words}").chars().take(EXAMPLE_CHARS_MAX).collect());
        }
    }

    /// Writes a line if there is something to tell, and the last line is not too fresh (unless it
    /// is the `last` chance).
    pub(super) fn tell(&self, outbox: &str, last: bool) {
        let mut state = self.state();
        let is_due = last || state.told.is_none_or(|told| told.elapsed() >= PAUSE);
        if state.counts.is_empty() || !is_due {
            return;
        }
        let State { counts, others, example, .. } = std::mem::take(&mut *state);
        state.told = Some(Instant::now());
        drop(state);
        let events = counts.values().sum::<u64>() + others;
        let reasons = counted(&counts, others);
        tracing::warn!(
            outbox,
            events,
            reasons,
            example,
            "dead-lettered events: list them with `outflow dead list`, fix the cause, then run \
                `outflow dead retry`"
        );
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

fn counted(counts: &BTreeMap<(&'static str, String), u64>, others: u64) -> String {
    let one = |((reason, stream), count): (&(&str, String), &u64)| match stream.as_str() {
        "" => format!("{count} × {reason}"),
        stream => format!("{count} × {reason} ({stream})"),
    };
    let mut all: Vec<String> = counts.iter().map(one).collect();
    if others > 0 {
        all.push(format!("{others} others"));
    }
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_and_bounded() {
        let deaths = Deaths::default();
        for number in 0..1_000 {
            deaths.add("too_large", Some(&format!("events.{}", number % 100)));
            deaths.add("no_stream", None);
        }
        let state = deaths.state();
        assert_eq!(state.counts.len(), KINDS_MAX);
        assert_eq!(state.counts.values().sum::<u64>() + state.others, 2_000);
        let told = counted(&state.counts, state.others);
        assert!(
            told.contains("1000 × no_stream,") && told.contains("10 × too_large (events.0)"),
            "{told}"
        );
    }
}
