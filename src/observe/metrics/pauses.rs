//! What is paused, as series: one of the outbox, and one of each paused stream.

use std::collections::BTreeMap;

use super::{OutboxMetrics, WHOLE};
use crate::relay::pause::{Pause, Pauses};

impl OutboxMetrics {
    /// What is paused, as far as this member knows.
    pub(crate) fn pauses(&self) -> Vec<Pause> {
        self.progress.pauses()
    }

    pub(super) fn set_pauses(&self, pauses: &Pauses) {
        let before = self.progress.set_pauses(pauses.all());
        let now = self.labels(pauses.all());
        for label in self.labels(&before).keys().filter(|label| !now.contains_key(*label)) {
            self.remove_pause(label);
        }
        self.all.paused.with_label_values(&[&self.outbox, WHOLE]).set(0);
        self.all.paused_since.with_label_values(&[&self.outbox, WHOLE]).set(f64::NAN);
        for (label, since) in now {
            self.all.paused.with_label_values(&[&self.outbox, &label]).set(1);
            #[expect(clippy::cast_precision_loss, reason = "whole seconds before the year 9000")]
            self.all.paused_since.with_label_values(&[&self.outbox, &label]).set(since as f64);
        }
    }

    /// Neither whether it is paused nor since when is this member's concern any more.
    pub(super) fn retire_pauses(&self) {
        let before = self.progress.set_pauses(&[]);
        let labels = self.labels(&before);
        labels.keys().map(String::as_str).chain([WHOLE]).for_each(|label| self.remove_pause(label));
    }

    /// Fails only if it is gone already.
    fn remove_pause(&self, label: &str) {
        let _ = self.all.paused.remove_label_values(&[&self.outbox, label]);
        let _ = self.all.paused_since.remove_label_values(&[&self.outbox, label]);
    }

    /// Each label, and since when the first of its pauses lasts.
    fn labels(&self, pauses: &[Pause]) -> BTreeMap<String, i64> {
        let mut labels = BTreeMap::new();
        for pause in pauses {
            let label = pause.stream.as_ref().map_or(WHOLE, |stream| self.label(stream));
            let since = pause.since.as_second();
            let known = labels.entry(label.to_owned()).or_insert(since);
            *known = since.min(*known);
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use crate::observe::metrics::Metrics;
    use crate::relay::pause::{Pause, Pauses};

    fn pause(stream: Option<String>, second: i64) -> Pause {
        Pause {
            stream,
            why: "maintenance".to_owned(),
            since: jiff::Timestamp::from_second(second).expect("a time"),
            until: None,
            os_user: "ada".to_owned(),
            host: "here".to_owned(),
            role: "operator".to_owned(),
        }
    }

    #[test]
    fn streams_come_and_go_the_outbox_stays_and_labels_are_bounded() {
        let metrics = Metrics::new().expect("metrics");
        let orders = metrics.outbox("orders");
        let lines = || {
            let text = metrics.render().expect("a text");
            let lines = text.lines().filter(|line| line.starts_with("outflow_paused"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let since = "outflow_paused_since_timestamp_seconds{outbox=\"orders\",stream=";
        let none = [
            "outflow_paused{outbox=\"orders\",stream=\"\"} 0".to_owned(),
            format!("{since}\"\"}} NaN"),
        ];
        assert_eq!(lines(), none);
        let of_a = pause(Some("a".to_owned()), 7);
        orders.set_pauses(&Pauses::new(vec![pause(None, 5), of_a.clone()]));
        assert_eq!(
            lines(),
            [
                "outflow_paused{outbox=\"orders\",stream=\"\"} 1".to_owned(),
                "outflow_paused{outbox=\"orders\",stream=\"a\"} 1".to_owned(),
                format!("{since}\"\"}} 5"),
                format!("{since}\"a\"}} 7"),
            ]
        );
        let many = (0..300).map(|n| pause(Some(format!("s{n}")), 10 + n));
        orders.set_pauses(&Pauses::new(many.chain([of_a]).collect()));
        assert_eq!(lines().len(), 2 + 2 * 101, "100 streams and all others");
        assert!(lines().contains(&format!("{since}\"other\"}} 109")), "{:?}", lines());
        orders.set_pauses(&Pauses::default());
        assert_eq!(lines(), none);
        orders.set_pauses(&Pauses::new(vec![pause(None, 5)]));
        orders.retire();
        assert_eq!(lines(), [""; 0]);
    }
}
