//! Parts that pages are made of: tables, empty states, errors, times and numbers.

use std::fmt::Display;

use jiff::Timestamp;
use maud::{Markup, Render, html};

use outflow_core::escape::{WHOLE, printable};

/// A table. Each row has a cell for each column; the first is its heading.
pub(super) fn table<R: Render>(caption: &str, columns: &[&str], rows: &[Vec<R>]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr { @for column in columns { th scope="col" { (column) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (at, cell) in row.iter().enumerate() {
                                @if at == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What stands where there is nothing yet: what it is, and what would fill it.
pub(super) fn empty(what: &str, fills: &str) -> Markup {
    html! { div.empty { p { (what) } p.hint { (fills) } } }
}

/// Something could not be asked or done: which server or what, why, and what to do next.
pub(super) fn problem(what: &str, why: &dyn Display, next: &str) -> Markup {
    html! {
        div.notice.bad role="alert" {
            p { strong { (what) } ": " (shown(&why.to_string())) }
            @if !next.is_empty() { p.hint { (next) } }
        }
    }
}

/// A server does not answer.
pub(super) fn unreachable(server: &str, why: &dyn Display) -> Markup {
    let next = format!(
        "The rest of this page is shown as far as it is known. Check that {server} runs and that \
            its address in Outflow's configuration is right; the page finds out by itself when it \
            is back."
    );
    problem(&format!("{server} cannot be reached"), why, &next)
}

/// Text that others wrote, on one line: what would turn or hide it is shown as an escape.
pub(super) fn shown(text: &str) -> String {
    printable(text, WHOLE)
}

/// A line to run elsewhere, with a button that copies it.
pub(super) fn copied(text: &str) -> Markup {
    html! {
        span.copied {
            code { (shown(text)) }
            button.copy.quiet type="button" data-copy=(text) hidden { "Copy" }
        }
    }
}

/// A time, to the second, in UTC; browsers show it in the zone of the reader as well.
pub(super) fn time(at: Timestamp) -> Markup {
    let text = format!("{at:.0}");
    html! { time datetime=(text) { (text.replace('T', " ").replace('Z', " UTC")) } }
}

/// A number with spaces between its thousands.
pub(super) fn number(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = if value < 0 { "-".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// So many of something whose plural has an s.
pub(super) fn count(number_of: i64, what: &str) -> String {
    let plural = if number_of == 1 { "" } else { "s" };
    format!("{} {what}{plural}", number(number_of))
}

/// A time that something took or takes.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 0.001 => "0 ms".to_owned(),
        s if s < 1.0 => format!("{:.0} ms", s * 1_000.0),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let table = [
            (0, "0"),
            (999, "999"),
            (1_000, "1\u{202f}000"),
            (-12_345_678, "-12\u{202f}345\u{202f}678"),
        ];
        for (value, expected) in table {
            assert_eq!(number(value), expected);
        }
        let table = [
            (0.0, "0 ms"),
            (0.0123, "12 ms"),
            (3.21, "3.2 s"),
            (600.0, "10 min"),
            (9_000.0, "2.5 h"),
        ];
        for (value, expected) in table {
            assert_eq!(seconds(value), expected);
        }
    }

    #[test]
    fn what_others_wrote_is_text() {
        let evil = "<script>alert(1)</script>\u{202e}\" onload=x";
        let html = table(evil, &[evil], &[vec![shown(evil)]]).into_string();
        let html = html + &problem(evil, &evil, evil).into_string() + &copied(evil).into_string();
        assert!(!html.contains("<script") && !html.contains("\" onload"), "{html}");
    }
}
