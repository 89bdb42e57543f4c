//! Text that others wrote, on its way to a terminal or a log: what would act on either is shown as
//! an escape, and what is too wide is cut.
//!
//! Ids, keys, types, errors and names of streams come from whoever may write events. Printed as
//! they are, they could move the cursor, color or retitle a terminal, forge a line of a table or a
//! log, and turn the direction of what follows.

use std::fmt::Write as _;

/// Columns of a cell in a table.
pub const CELL: usize = 120;
/// Columns of one value that is shown whole.
pub const WHOLE: usize = 65_536;

/// The text on one line, of at most `width` columns; `…` says that there was more.
pub fn printable(text: &str, width: usize) -> String {
    let mut line = String::with_capacity(text.len().min(width));
    // `kept` is what stays if more comes than fits: it leaves a column for the mark.
    let (mut columns, mut kept) = (0, 0);
    for character in text.chars() {
        let before = line.len();
        if acts(character) {
            // Writing to a String does not fail.
            let _ = write!(line, "{}", character.escape_default());
            columns += line.len() - before;
        } else {
            line.push(character);
            columns += columns_of(character);
        }
        if columns > width {
            line.truncate(kept);
            line.push('…');
            return line;
        }
        if columns < width {
            kept = line.len();
        }
    }
    line
}

/// A message that may have several lines of our own.
pub fn lines(text: &str) -> String {
    text.split('\n').map(|line| printable(line, WHOLE)).collect::<Vec<_>>().join("\n")
}

/// JSON text whose strings have nothing in them that acts on a terminal. They still mean the same:
/// JSON has escapes for every character, and outside of strings there are none of these.
pub fn json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if acts(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Controls (C0, DEL, C1), line and paragraph separators, marks that turn the direction of writing,
/// and what has no width of its own and so hides in a text: joiners, tags, fillers.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// At least one: a heap of combining marks is cut too.
fn columns_of(character: char) -> usize {
    match character {
        '\u{1100}'..='\u{115e}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff01}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        // Writing to memory cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::{json, printable};

    #[test]
    fn what_acts_on_a_terminal_is_shown_and_not_done() {
        let rows = [
            ("plain words", "plain words"),
            ("größer 訂單 🛒", "größer 訂單 🛒"),
            ("\x1b[31mred\x1b]0;title\x07", "\\u{1b}[31mred\\u{1b}]0;title\\u{7}"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{9b}2J\u{7f}\0", "\\u{9b}2J\\u{7f}\\u{0}"),
            ("abc\u{202e}cba\u{2066}x\u{2069}", "abc\\u{202e}cba\\u{2066}x\\u{2069}"),
            ("\u{2028}\u{200b}\u{feff}\u{e0041}", "\\u{2028}\\u{200b}\\u{feff}\\u{e0041}"),
        ];
        for (text, expected) in rows {
            assert_eq!(printable(text, 1_000), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_too_wide_is_cut() {
        let rows = [
            ("12345", 5, "12345"),
            ("123456", 5, "1234…"),
            ("\x1b\x1b", 7, "\\u{1b}…"),
            ("訂單訂單", 5, "訂單…"),
            ("", 5, ""),
        ];
        for (text, width, expected) in rows {
            let cut = printable(text, width);
            assert!(!cut.chars().any(char::is_control), "{cut:?}");
            assert!(cut.chars().count() <= width, "{cut:?}");
            assert_eq!(cut, expected, "{text:?}");
        }
        assert_eq!(
            printable(&"a\u{301}".repeat(1_000), 10).chars().count(),
            10,
            "marks without a width"
        );
    }

    #[test]
    fn json_means_the_same() {
        for text in ["plain", "\x1b[2J\u{9b}\u{202e}\u{2028}\u{7f}\u{e0041}\"\\", "größer 🛒"] {
            let escaped = json(&serde_json::to_string(text).expect("a text"));
            assert!(!escaped.chars().any(super::acts), "{escaped}");
            assert_eq!(serde_json::from_str::<String>(&escaped).expect("JSON"), text);
        }
    }
}
