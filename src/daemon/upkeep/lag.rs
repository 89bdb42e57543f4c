//! `lag_max`: whether a group is too far behind. Pure but for the log.

use crate::daemon::valve::Valve;
use crate::relay::hold::{HoldReason, Holds};
use crate::relay::options::OutboxOptions;
use crate::relay::sink::upkeep::Look;

/// Part of the limit, in percent, at which claiming goes on. Without it, it would stop and go on
/// each second.
const RESUME: u64 = 75;

/// How far behind the groups are that count.
#[derive(Debug)]
pub(super) struct Lag {
    outbox: String,
    max: Option<u64>,
    groups: Vec<String>,
    /// In the round that is under way: the group that is farthest behind, and its stream.
    most: Option<(u64, String, String)>,
    valve: Valve,
}

impl Lag {
    pub(super) fn new(outbox: &OutboxOptions) -> Self {
        Self {
            outbox: outbox.name.clone(),
            max: outbox.lag_max,
            groups: outbox.trim.groups.clone(),
            most: None,
            valve: Valve::default(),
        }
    }

    /// Nothing that an unfinished round has found counts.
    pub(super) fn start_round(&mut self) {
        self.most = None;
    }

    /// A lag that Redis does not know counts for nothing.
    pub(super) fn looked(&mut self, stream: &str, look: &Look) {
        for group in look.groups.iter().filter(|group| self.groups.contains(&group.name)) {
            let lag = group.lag.and_then(|lag| u64::try_from(lag).ok()).unwrap_or(0);
            if self.most.as_ref().is_none_or(|(most, ..)| lag > *most) {
                self.most = Some((lag, stream.to_owned(), group.name.clone()));
            }
        }
    }

    /// Every stream was looked at.
    pub(super) fn end_round(&mut self, holds: &Holds) {
        let (lag, stream, group) = self.most.take().unwrap_or_default();
        let outbox = Some(self.outbox.as_str());
        let is_held = holds.is_set(HoldReason::Lag, outbox);
        // Without a limit none is above it.
        let max = self.max.unwrap_or(u64::MAX);
        let waits = self.valve.waits(is_held, lag > max, lag <= resume(max));
        let why = waits.then(|| {
            format!(
                "the group {group:?} is {lag} entries behind in {stream}; events wait in \
                    Postgres until it is at most {} behind (lag_max = {max})",
                resume(max)
            )
        });
        let told = why.clone();
        if holds.set(HoldReason::Lag, outbox, why) {
            let outbox = &self.outbox;
            if let Some(why) = told {
                tracing::warn!(outbox, "claiming no events: {why}");
            } else {
                tracing::info!(outbox, "the groups have caught up: claiming events");
            }
        }
    }
}

fn resume(max: u64) -> u64 {
    u64::try_from(u128::from(max) * u128::from(RESUME) / 100).unwrap_or(max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::sink::upkeep::GroupLook;

    fn look(name: &str, lag: Option<i64>) -> Look {
        let group = GroupLook {
            name: name.to_owned(),
            last_delivered: "1-0".to_owned(),
            pending: 0,
            lag,
            oldest_pending: None,
            idle: None,
        };
        Look {
            now_ms: 0,
            entries: 0,
            trimmed_read: 0,
            trimmed_over: 0,
            unread_trimmed: 0,
            missing: Vec::new(),
            groups: vec![group],
        }
    }

    #[test]
    fn it_waits_above_the_limit_until_the_group_has_caught_up_some_way() {
        let holds = Holds::default();
        let mut lag = Lag {
            outbox: "orders".to_owned(),
            max: Some(100),
            groups: vec!["a".to_owned()],
            most: None,
            valve: Valve::default(),
        };
        let table = [
            ("a", Some(100), false),
            ("b", Some(1_000), false),
            ("a", None, false),
            ("a", Some(101), true),
            ("a", Some(76), true),
            ("a", Some(75), false),
            ("a", Some(99), false),
            ("a", Some(101), true),
        ];
        for (name, entries, expected) in table {
            lag.looked("events.order", &look(name, entries));
            lag.looked("events.bill", &look("a", Some(0)));
            lag.end_round(&holds);
            assert_eq!(holds.hold("orders"), expected, "{name}: {entries:?}");
            assert!(!holds.hold("another"));
        }
        // Another relay has gone on, and keeps the group where it is.
        let rounds = (0..100).position(|_| {
            lag.looked("events.order", &look("a", Some(90)));
            lag.end_round(&holds);
            !holds.hold("orders")
        });
        assert!(rounds.is_some_and(|rounds| rounds > 0), "{rounds:?}");
    }
}
