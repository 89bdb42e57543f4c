//! The picture in README: bars with their ranges, as SVG that suits a light and a dark page.

use std::fmt::Write as _;

use super::figure::{Figure, Panel};

const WIDTH: f64 = 860.0;
/// Where bars begin, and how long the longest is.
const BAR_X: f64 = 300.0;
const BAR_WIDTH: f64 = 400.0;
const ROW: f64 = 22.0;
const BAR: f64 = 14.0;
const TITLE: f64 = 40.0;
const CAPTION: f64 = 18.0;

/// Colours of a light page, and of a dark one where the reader prefers that.
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#24292f}.title{\
    font-weight:600;font-size:15px}\
    .small{fill:#57606a;font-size:12px}.ours{fill:#0969da}.ceiling{fill:#afb8c1}\
    .range{stroke:#24292f;stroke-width:1.5}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#8d96a0}.ours{fill:#4493f8}\
    .ceiling{fill:#656c76}\
    .range{stroke:#e6edf3}}";

const PANELS: [(Panel, &str); 3] = [
    (Panel::Drain, "Draining a backlog, events a second"),
    (Panel::Writers, "Writers beside the relay, inserts a second"),
    (Panel::Latency, "From commit to a blocked XREAD, lower is better"),
];

/// Draws every figure that belongs into a panel. `caption` says where the numbers come from.
pub(crate) fn draw(figures: &[Figure], caption: &[String]) -> String {
    let mut body = String::new();
    let mut y = 0.0;
    for (panel, title) in PANELS {
        let bars: Vec<&Figure> =
            figures.iter().filter(|figure| figure.panel == Some(panel)).collect();
        if bars.is_empty() {
            continue;
        }
        let _ = writeln!(body, r#"<text class="title" x="12" y="{}">{title}</text>"#, y + 26.0);
        y += TITLE;
        let longest = bars.iter().map(|figure| figure.max()).fold(0.0, f64::max);
        for figure in bars {
            bar(&mut body, figure, y, longest);
            y += ROW;
        }
    }
    for line in caption {
        y += CAPTION;
        let _ = writeln!(body, r#"<text class="small" x="12" y="{y}">{}</text>"#, escape(line));
    }
    let height = y + CAPTION;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
            width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>Outflow's \
         benchmark</title>\n<style>{STYLE}</style>\n{body}</svg>\n"
    )
}

/// One bar: as long as the median, with a line from the smallest to the largest sample.
fn bar(body: &mut String, figure: &Figure, y: f64, longest: f64) {
    let x = |value: f64| BAR_X + BAR_WIDTH * value / longest;
    let (median, least, most) = (figure.median(), x(figure.min()), x(figure.max()));
    let (middle, baseline) = (y + BAR / 2.0, y + BAR - 2.0);
    let class = if figure.ceiling { "ceiling" } else { "ours" };
    let name = escape(&figure.name);
    let _ = writeln!(
        body,
        r#"<text x="{}" y="{baseline}" text-anchor="end">{name}</text>"#,
        BAR_X - 8.0
    );
    let length = x(median) - BAR_X;
    let _ = writeln!(
        body,
        r#"<rect class="{class}" x="{BAR_X}" y="{y}" width="{length:.1}" height="{BAR}" rx="2"/>"#
    );
    if figure.samples.len() > 1 {
        let _ = writeln!(
            body,
            r#"<line class="range" x1="{least:.1}" y1="{middle}" x2="{most:.1}" y2="{middle}"/>"#
        );
    }
    let label = figure.unit.show(median);
    let _ = writeln!(
        body,
        r#"<text class="small" x="{:.1}" y="{baseline}">{label}</text>"#,
        most.max(x(median)) + 8.0
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
