//! What is known of the streams that an outbox writes: lengths, groups, what was trimmed.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};

use super::stream_series::Labels;
use super::{OutboxMetrics, StreamNote};
use crate::relay::sink::upkeep::{GroupLook, Look, time_of};

/// Groups with labels of their own, for each outbox.
const GROUP_LABELS_MAX: usize = 500;

impl OutboxMetrics {
    /// Whether this member does what one member does for all.
    pub(crate) fn leads(&self) -> bool {
        self.looking.leads.load(Ordering::Relaxed)
    }

    pub(super) fn lead(&self, leads: bool) {
        self.looking.leads.store(leads, Ordering::Relaxed);
    }

    /// A stream was looked at, and trimmed.
    pub(crate) fn looked(&self, stream: &str, look: &Look) {
        let series = &self.all.streams;
        let counted = |number: i64| u64::try_from(number).unwrap_or(0);
        let label = self.label(stream);
        let of_label = [self.outbox.as_str(), label];
        series.trimmed.with_label_values(&of_label).inc_by(counted(look.trimmed()));
        series.unread_trimmed.with_label_values(&of_label).inc_by(counted(look.unread_trimmed));
        // Lengths cannot be added up as counts can.
        if label != stream {
            return;
        }
        series.entries.with_label_values(&of_label).set(look.entries);
        let mut known = self.looking.known.lock();
        known.streams.insert(stream.to_owned());
        let is_there = |name: &String| look.groups.iter().any(|group| group.name == *name);
        known.groups.retain(|(of, group)| {
            let stays = of != stream || is_there(group);
            if !stays {
                self.forget_group(of, group);
            }
            stays
        });
        for group in &look.groups {
            let pair = (stream.to_owned(), group.name.clone());
            if known.groups.contains(&pair) || known.groups.len() < GROUP_LABELS_MAX {
                self.looked_at_group(stream, group, look.now_ms);
                known.groups.insert(pair);
            }
        }
    }

    /// Every stream that is there was looked at: these are left, and this is to be said of them.
    pub(crate) fn looked_at_all(&self, streams: &BTreeSet<String>, notes: &[StreamNote]) {
        let mut known = self.looking.known.lock();
        let Labels { streams: told, groups } = &mut *known;
        groups.retain(|(stream, group)| {
            let stays = streams.contains(stream);
            if !stays {
                self.forget_group(stream, group);
            }
            stays
        });
        told.retain(|stream| {
            let stays = streams.contains(stream);
            if !stays {
                remove(&self.all.streams.entries, &[&self.outbox, stream]);
            }
            stays
        });
        let of_kind = |stale: bool| notes.iter().filter(move |note| note.is_stale() == stale);
        let waiting: BTreeSet<&str> = of_kind(false).map(|note| note.stream.as_str()).collect();
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.gauge(&self.all.streams.trim_waits).set(count(waiting.len()));
        self.gauge(&self.all.streams.stale_groups).set(count(of_kind(true).count()));
        self.progress.noted(notes.to_vec());
    }

    /// Another member looks.
    pub(crate) fn looks_at_none(&self) {
        self.looked_at_all(&BTreeSet::new(), &[]);
    }

    /// Why streams cannot be looked at; `None` if they can.
    pub(crate) fn cannot_look(&self, why: Option<&str>) {
        self.progress.cannot_look(why);
    }

    pub(super) fn retire_streams(&self) {
        self.looks_at_none();
        remove(&self.all.streams.trim_waits, &[&self.outbox]);
        remove(&self.all.streams.stale_groups, &[&self.outbox]);
    }

    fn looked_at_group(&self, stream: &str, group: &GroupLook, now_ms: i64) {
        let series = &self.all.streams;
        let labels = [self.outbox.as_str(), stream, group.name.as_str()];
        #[expect(clippy::cast_precision_loss, reason = "streams are shorter than 2^53")]
        let lag = group.lag.map_or(f64::NAN, |lag| lag as f64);
        series.lag.with_label_values(&labels).set(lag);
        let oldest = group.oldest_pending.as_deref().and_then(time_of);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of some years")]
        let age = oldest.map_or(0.0, |time| (now_ms - time).max(0) as f64 / 1_000.0);
        series.oldest_pending.with_label_values(&labels).set(age);
    }

    fn forget_group(&self, stream: &str, group: &str) {
        let labels = [self.outbox.as_str(), stream, group];
        remove(&self.all.streams.lag, &labels);
        remove(&self.all.streams.oldest_pending, &labels);
    }
}

/// Fails only if it is gone already.
fn remove<B: MetricVecBuilder>(of: &MetricVec<B>, labels: &[&str])
where
    MetricVec<B>: Collector,
{
    let _ = of.remove_label_values(labels);
}
