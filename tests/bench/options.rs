//! What to measure and how much of it: QUICK and ONLY, from the environment that `make bench`
//! passes on.

use std::time::Duration;

use super::Outcome;

/// What can be measured; the names that ONLY takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Drain,
    Held,
    Durable,
    Backlog,
    Members,
    Payloads,
    Streams,
    Trim,
    Keep,
    Retention,
    Writers,
    Latency,
    Resources,
    Console,
}

impl Group {
    pub(crate) const ALL: [Self; 14] = [
        Self::Drain,
        Self::Held,
        Self::Durable,
        Self::Backlog,
        Self::Members,
        Self::Payloads,
        Self::Streams,
        Self::Trim,
        Self::Keep,
        Self::Retention,
        Self::Writers,
        Self::Latency,
        Self::Resources,
        Self::Console,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Held => "held",
            Self::Durable => "durable",
            Self::Backlog => "backlog",
            Self::Members => "members",
            Self::Payloads => "payloads",
            Self::Streams => "streams",
            Self::Trim => "trim",
            Self::Keep => "keep",
            Self::Retention => "retention",
            Self::Writers => "writers",
            Self::Latency => "latency",
            Self::Resources => "resources",
            Self::Console => "console",
        }
    }
}

/// How much is measured.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Fewer rows and one run: to see that it works, not to quote.
    pub(crate) quick: bool,
    pub(crate) groups: Vec<Group>,
    /// Runs of each figure.
    pub(crate) runs: usize,
    /// Rows of a drain.
    pub(crate) rows: u64,
    /// Backlogs to compare with one of `rows`.
    pub(crate) backlog_small: u64,
    pub(crate) backlog_large: u64,
    /// How long writers write in one run.
    pub(crate) writing: Duration,
    /// How long latency is looked at in one run, after a second of warming up.
    pub(crate) latency: Duration,
    /// How long an idle relay is watched.
    pub(crate) idle: Duration,
}

impl Options {
    /// From QUICK (anything but empty or 0) and ONLY (names of groups, with commas).
    ///
    /// # Errors
    /// A name that is none, with those that are.
    pub(crate) fn from_environment() -> Outcome<Self> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let quick = !matches!(variable("QUICK").as_str(), "" | "0");
        let groups = groups(&variable("ONLY"))?;
        let seconds = Duration::from_secs;
        Ok(if quick {
            Self {
                quick,
                groups,
                runs: 1,
                rows: 100_000,
                backlog_small: 10_000,
                backlog_large: 500_000,
                writing: seconds(3),
                latency: seconds(3),
                idle: seconds(3),
            }
        } else {
            Self {
                quick,
                groups,
                runs: 3,
                rows: 500_000,
                backlog_small: 10_000,
                backlog_large: 5_000_000,
                writing: seconds(6),
                latency: seconds(8),
                idle: seconds(5),
            }
        })
    }

    /// Whether every group is measured in full: only such results replace the picture in README.
    pub(crate) fn is_complete(&self) -> bool {
        !self.quick && self.groups.len() == Group::ALL.len()
    }
}

fn groups(only: &str) -> Outcome<Vec<Group>> {
    let names: Vec<&str> = only.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let known = Group::ALL.map(Group::name);
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!("ONLY: {unknown:?} is none of {}", known.join(", ")).into());
    }
    Ok(Group::ALL
        .into_iter()
        .filter(|group| names.is_empty() || names.contains(&group.name()))
        .collect())
}
