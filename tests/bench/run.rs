//! One run of the benchmark: the servers, what to measure, what has been measured, and words on the
//! way.

use std::time::Instant;

use super::Outcome;
use super::figure::Figure;
use super::options::{Group, Options};
use super::stage::Stage;
use super::{
    backlog, console, drain, keep, latency, resources, retention, trim, variants, writers,
};

pub(crate) struct Run {
    pub(crate) stage: Stage,
    pub(crate) options: Options,
    pub(crate) figures: Vec<Figure>,
    started: Instant,
}

impl Run {
    pub(crate) fn new(stage: Stage, options: Options) -> Self {
        Self { stage, options, figures: Vec::new(), started: Instant::now() }
    }

    /// Measures every group that was asked for.
    pub(crate) async fn measure(&mut self) -> Outcome {
        for group in self.options.groups.clone() {
            match group {
                Group::Drain => drain::drain(self).await?,
                Group::Held => drain::held(self).await?,
                Group::Durable => variants::durable(self).await?,
                Group::Backlog => backlog::backlog(self).await?,
                Group::Members => variants::members(self).await?,
                Group::Payloads => variants::payloads(self).await?,
                Group::Streams => variants::streams(self).await?,
                Group::Trim => trim::trim(self).await?,
                Group::Keep => keep::keep(self).await?,
                Group::Retention => retention::retention(self).await?,
                Group::Writers => writers::writers(self).await?,
                Group::Latency => latency::latency(self).await?,
                Group::Resources => resources::resources(self).await?,
                Group::Console => console::console(self).await?,
            }
        }
        Ok(())
    }

    /// Numbers of the repetitions.
    pub(crate) fn rounds(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.options.runs
    }

    pub(crate) fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Says on stderr what is going on.
    pub(crate) fn says(&self, what: &str) {
        eprintln!("[{:4.0} s] {what}", self.started.elapsed().as_secs_f64());
    }

    pub(crate) fn took_seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}
