//! What was measured: a table for people, JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::figure::{Figure, Unit};
use super::run::Run;

/// The table, a line a figure.
pub(crate) fn table(run: &Run) -> String {
    let mut lines = vec![["figure", "median", "min – max", "target", "met?"].map(str::to_owned)];
    for figure in &run.figures {
        let unit = figure.unit;
        let range = if figure.samples.len() > 1 {
            format!("{} – {}", unit.show(figure.min()), unit.show(figure.max()))
        } else {
            "one run".to_owned()
        };
        let target = figure.target.map_or(String::new(), |target| unit.show_target(target));
        let met = figure.is_met().map_or("", |met| if met { "yes" } else { "NO" });
        let name = format!("{}: {}", figure.group.name(), figure.name);
        lines.push([name, unit.show(figure.median()), range, target, met.to_owned()]);
    }
    let width =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for (row, line) in lines.iter().enumerate() {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        // Writing to memory cannot fail.
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        if row == 0 {
            let _ = writeln!(text, "{}", "─".repeat(widths.iter().sum::<usize>() + 8));
        }
    }
    for figure in &run.figures {
        if let Some(note) = &figure.note {
            let _ = writeln!(text, "{}: {}: {note}.", figure.group.name(), figure.name);
        }
    }
    text
}

/// Everything, with every sample.
pub(crate) fn json(run: &Run, versions: &[(&str, String)]) -> Value {
    let versions: serde_json::Map<String, Value> =
        versions.iter().map(|(name, version)| ((*name).to_owned(), json!(version))).collect();
    json!({
        "quick": run.options.quick,
        "complete": run.options.is_complete(),
        "at": jiff::Timestamp::now().to_string(),
        "took_seconds": run.took_seconds(),
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "versions": versions,
        "rows": run.options.rows,
        "figures": run.figures.iter().map(figure).collect::<Vec<_>>(),
    })
}

fn figure(figure: &Figure) -> Value {
    json!({
        "group": figure.group.name(),
        "figure": figure.name,
        "unit": unit(figure.unit),
        "median": figure.median(),
        "min": figure.min(),
        "max": figure.max(),
        "samples": figure.samples,
        "target": figure.target.map(|target| figure.unit.show_target(target)),
        "met": figure.is_met(),
        "ceiling": figure.ceiling,
        "note": figure.note,
    })
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::PerSecond => "1/s",
        Unit::Ratio => "ratio",
        Unit::Milliseconds => "ms",
        Unit::Microseconds => "us",
        Unit::Megabytes => "MB",
        Unit::Percent => "%",
    }
}
