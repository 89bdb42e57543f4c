//! How long deliveries took, between two looks.

/// Since the start of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Deliveries {
    /// From events' times to their appends, together.
    pub seconds: f64,
    /// Of so many events.
    pub events: u64,
}

impl Deliveries {
    /// The mean of those after `before`; `None` if there were none.
    pub fn mean_since(self, before: Self) -> Option<f64> {
        let events = self.events.checked_sub(before.events).filter(|events| *events > 0)?;
        #[expect(clippy::cast_precision_loss, reason = "for people to read")]
        let mean = (self.seconds - before.seconds).max(0.0) / events as f64;
        Some(mean)
    }
}
