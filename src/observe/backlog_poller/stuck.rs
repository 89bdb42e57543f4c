//! Events that wait although nothing is wrong with any server: told once each time, because nothing
//! else would tell.

use crate::observe::backlog::Unordered;
use crate::observe::metrics::{FirstInLine, Report};
use crate::relay::options::OutboxOptions;

/// What was told.
#[derive(Default)]
pub(super) struct Stuck {
    unordered: bool,
    row: Option<String>,
}

impl Stuck {
    pub(super) fn tell(
        &mut self,
        outbox: &OutboxOptions,
        unordered: &Unordered,
        first: Option<&FirstInLine>,
        report: &Report,
    ) {
        let is_unordered = unordered.events > 0;
        if is_unordered && !self.unordered {
            tracing::error!(
                outbox = outbox.name,
                events = unordered.events,
                row = unordered.first,
                column = outbox.columns.order,
                "events have no value in the order column, so no claim reaches them: set a value"
            );
        }
        self.unordered = is_unordered;
        let row = first
            .map(|first| &first.row)
            .filter(|row| is_silent(report) && unordered.first.as_ref() != Some(*row));
        if let Some(row) = row.filter(|row| self.row.as_ref() != Some(*row)) {
            tracing::warn!(
                outbox = outbox.name,
                row,
                "an event is waiting but no claim takes it: another session has locked it, another \
                    relay owns its key, or a trigger or a rule keeps it; run `outflow status` and \
                    `outflow check` to find the cause"
            );
        }
        self.row = row.cloned();
    }
}

/// Whether nothing is told that would explain it.
fn is_silent(report: &Report) -> bool {
    report.problem.is_none()
        && report.standby.is_none()
        && report.parked.is_empty()
        && report.events_per_second == 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_explains_it_is_enough() {
        assert!(is_silent(&Report::default()));
        assert!(!is_silent(&Report { events_per_second: 0.1, ..Report::default() }));
        let problem = Some(crate::observe::metrics::Problem::now("Redis is full"));
        assert!(!is_silent(&Report { problem: problem.clone(), ..Report::default() }));
        assert!(!is_silent(&Report { standby: problem, ..Report::default() }));
    }
}
