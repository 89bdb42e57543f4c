//! One measured figure: its samples, its unit, and its target (`docs/benchmarks.md`) where there is
//! one. Pure.

use super::options::Group;

/// What the numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    PerSecond,
    Ratio,
    Milliseconds,
    Microseconds,
    Megabytes,
    Percent,
}

/// What must hold for the median.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    Between(f64, f64),
}

/// Where a figure is drawn; most are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Panel {
    Drain,
    Writers,
    Latency,
}

/// A figure with all its samples. There is at least one: a figure that was not measured does not
/// exist.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) group: Group,
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) samples: Vec<f64>,
    pub(crate) target: Option<Target>,
    pub(crate) panel: Option<Panel>,
    /// Whether this is a ceiling: another program's figure that ours is compared with.
    pub(crate) ceiling: bool,
    pub(crate) note: Option<String>,
}

impl Figure {
    pub(crate) fn new(
        group: Group,
        name: impl Into<String>,
        unit: Unit,
        samples: Vec<f64>,
    ) -> Self {
        let (name, target, panel, note) = (name.into(), None, None, None);
        Self { group, name, unit, samples, target, panel, ceiling: false, note }
    }

    pub(crate) fn target(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    pub(crate) fn drawn(self, panel: Panel) -> Self {
        Self { panel: Some(panel), ..self }
    }

    pub(crate) fn ceiling(self) -> Self {
        Self { ceiling: true, ..self }
    }

    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            length if length % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    pub(crate) fn min(&self) -> f64 {
        self.samples.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Whether the target is met; `None` without one.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let median = self.median();
        self.target.map(|target| match target {
            Target::AtLeast(least) => median >= least,
            Target::AtMost(most) => median <= most,
            Target::Between(least, most) => (least..=most).contains(&median),
        })
    }
}

impl Unit {
    /// With as many digits as mean something.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::PerSecond => format!("{}/s", thousands(value)),
            Self::Ratio => format!("{value:.2} ×"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Microseconds => format!("{value:.2} µs"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Percent => format!("{value:.2} %"),
        }
    }

    pub(crate) fn show_target(self, target: Target) -> String {
        match target {
            Target::AtLeast(least) => format!("≥ {}", self.show(least)),
            Target::AtMost(most) => format!("≤ {}", self.show(most)),
            Target::Between(least, most) => format!("{} – {}", self.show(least), self.show(most)),
        }
    }
}

/// Ratio of each run to the ceiling measured right beside it.
pub(crate) fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}

/// 123456.7 as 123,457.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}
