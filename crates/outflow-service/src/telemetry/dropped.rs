//! How many log lines were lost, as a series.

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, Registry};

use super::writer::LossyWriter;

/// Asks the writer when it is asked itself: the log does not depend on metrics.
struct DroppedLines {
    series: IntCounter,
    /// Two scrapes at once would count the same lines twice.
    one_at_a_time: Mutex<()>,
    writer: LossyWriter,
}

/// Registers the series under `name`.
pub(super) fn register(
    writer: LossyWriter,
    name: &str,
    registry: &Registry,
) -> prometheus::Result<()> {
    let help = "Log lines dropped because stderr could not be written or its reader was too slow";
    let series = IntCounter::new(name, help)?;
    registry.register(Box::new(DroppedLines { series, one_at_a_time: Mutex::new(()), writer }))
}

impl Collector for DroppedLines {
    fn desc(&self) -> Vec<&Desc> {
        self.series.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _alone = self.one_at_a_time.lock();
        self.series.inc_by(self.writer.dropped().saturating_sub(self.series.get()));
        self.series.collect()
    }
}
