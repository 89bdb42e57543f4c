//! What the demo shows on the terminal.

use std::fmt::Display;
use std::io::Write;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::tally::Tally;

/// Writes a line to stdout. A closed pipe (`demo | head`) is no reason to stop in disorder.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line a second.
pub(super) fn show(started: Instant, tally: Tally, lags: &Histogram<u64>, backlog: Option<i64>) {
    let Tally { placed, relayed, consumed, .. } = tally;
    let seconds = started.elapsed().as_secs();
    let backlog = backlog.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
    say(format_args!(
        "{seconds:>5} s   placed {placed:>6}   relayed {relayed:>6}   consumed {consumed:>6}   \
         {}   backlog {backlog:>4}",
        lag(lags)
    ));
}

/// p50 and p99 in milliseconds, or dashes when nothing arrived.
pub(super) fn lag(lags: &Histogram<u64>) -> String {
    let at = |quantile| match lags.len() {
        0 => "–".to_owned(),
        _ => milliseconds(lags.value_at_quantile(quantile)),
    };
    format!("lag p50 {:>7} ms   p99 {:>7} ms", at(0.50), at(0.99))
}

/// `1,234,567`
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{:02}", micros / 1_000, micros % 1_000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped() {
        let counts = [0, 999, 1_000, 12_345_678];
        assert_eq!(counts.map(grouped), ["0", "999", "1,000", "12,345,678"]);
    }

    #[test]
    fn lags_are_shown_in_milliseconds() {
        let mut lags: Histogram<u64> = Histogram::new(3).expect("3 digits are allowed");
        assert_eq!(lag(&lags), "lag p50       – ms   p99       – ms");
        lags.record(1_057).expect("it resizes itself");
        assert_eq!(lag(&lags), "lag p50    1.05 ms   p99    1.05 ms");
    }
}
