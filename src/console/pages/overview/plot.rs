//! The last hour of an outbox: a line drawn here, which the script replaces with one that can be
//! read by the pointer.

use std::fmt::Write as _;

use maud::{Markup, html};
use serde_json::json;

use crate::console::history::Sample;
use crate::console::parts;
use crate::console::state::Console;
use crate::operate::status::OutboxStatus;

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 90.0;

/// What is drawn.
struct Plot {
    title: &'static str,
    unit: &'static str,
    lines: Vec<(&'static str, Vec<Option<f64>>)>,
}

pub(super) fn plots(console: &Console, outbox: &OutboxStatus) -> Markup {
    let history = console.history();
    let samples = history.of(&outbox.name);
    let of = |value: fn(&Sample) -> Option<f64>| samples.iter().map(value).collect::<Vec<_>>();
    let plots = [
        Plot {
            title: "Events per second",
            unit: "/s",
            lines: vec![("in", of(|sample| sample.into)), ("out", of(|sample| sample.out))],
        },
        Plot {
            title: "Delivery latency",
            unit: "s",
            lines: vec![("latency", of(|sample| sample.latency))],
        },
    ];
    let whose = if history.own.is_some() { "of this relay, since" } else { "seen here since" };
    html! {
        div.plots {
            @for plot in &plots { (figure(plot, &samples, &outbox.name)) }
        }
        p.hint { "Plots: the last hour, " (whose) " " (parts::time(history.since)) "." }
    }
}

fn figure(plot: &Plot, samples: &[Sample], outbox: &str) -> Markup {
    let last = |values: &[Option<f64>]| values.iter().rev().flatten().next().copied();
    let now: Vec<String> = plot
        .lines
        .iter()
        .map(|(name, values)| match last(values) {
            Some(value) => format!("{name} {}", short(value, plot.unit)),
            None => format!("{name} not known"),
        })
        .collect();
    let label = format!("{} of {outbox}: {}", plot.title, now.join(", "));
    let times: Vec<i64> = samples.iter().map(|sample| sample.at).collect();
    let lines: Vec<_> =
        plot.lines.iter().map(|(name, values)| json!({ "name": name, "values": values })).collect();
    let data = json!({ "unit": plot.unit, "times": times, "lines": lines }).to_string();
    html! {
        figure.plot {
            figcaption { (plot.title) span.now { (now.join(", ")) } }
            div.canvas data-plot=(data) role="img" aria-label=(label) {
                (drawn(plot, &times))
            }
        }
    }
}

fn short(value: f64, unit: &str) -> String {
    if unit == "s" { parts::seconds(value) } else { format!("{value:.1}{unit}") }
}

/// Without a script: the same lines, scaled to the highest.
fn drawn(plot: &Plot, times: &[i64]) -> Markup {
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return html! {} };
    let top = plot.lines.iter().flat_map(|(_, values)| values.iter().flatten());
    let top = top.copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    #[expect(clippy::cast_precision_loss, reason = "an hour")]
    let x = |at: i64| (at - first) as f64 / ((last - first).max(1)) as f64 * WIDTH;
    let points = |values: &[Option<f64>]| {
        times.iter().zip(values).fold(String::new(), |mut points, (at, value)| {
            if let Some(value) = value {
                let y = HEIGHT - value / top * (HEIGHT - 4.0) - 2.0;
                // Writing to memory cannot fail.
                let _ = write!(points, "{:.0},{y:.1} ", x(*at));
            }
            points
        })
    };
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" aria-hidden="true" {
            @for (at, (_, values)) in plot.lines.iter().enumerate() {
                polyline.line.{ "line-" (at) } points=(points(values)) fill="none" {}
            }
        }
    }
}
