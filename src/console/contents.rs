//! What is in an event, to be read: JSON on lines of its own, digits as they were, and everything
//! that would act on a page or turn its text as an escape.

use maud::{Markup, html};
use serde::de::IgnoredAny;

use super::access::Viewer;
use super::parts::{number, shown};
use crate::operate::streams::Entry;
use outflow_core::escape::printable;
use outflow_core::fault::Fault;

/// Levels of JSON that are indented.
const DEPTH_MAX: usize = 40;
/// How much longer JSON may become by being indented. A page has many values.
const GROWTH_MAX: usize = 4;
const BYTES_MIN: usize = 1024;

/// A value in a box. `text` is `None` if whoever looks may not see it; `bytes`: size of the whole.
pub(super) fn contents(text: Option<&str>, is_hex: bool, bytes: usize, is_cut: bool) -> Markup {
    let size = number(i64::try_from(bytes).unwrap_or(i64::MAX));
    let Some(text) = text else {
        return html! { span.hint { "hidden from your role (" (size) " bytes)" } };
    };
    let formatted = if is_cut || is_hex { None } else { pretty(text) };
    let is_long = formatted.is_some() || text.len() > 80 || text.contains('\n');
    html! {
        @if is_long {
            pre tabindex="0" { (lines(formatted.as_deref().unwrap_or(text))) }
        } @else {
            code { (shown(text)) }
        }
        @if is_hex { span.hint { " hexadecimal digits: it is no text" } }
        @if is_cut { span.hint { " the beginning of " (size) " bytes" } }
    }
}

/// What is said of a text that may quote the event, to whom may not see it.
const HIDDEN: &str = "hidden from your role: it may quote the event";

/// Words of a server or of a consumer on an event, such as the error that made it a dead letter:
/// they often quote what is in it.
pub(super) fn words<'a>(viewer: &Viewer, text: &'a str) -> &'a str {
    if viewer.sees_payloads { text } else { HIDDEN }
}

/// A search by what is in events is refused to whom may not see it: what it finds would tell.
///
/// # Errors
/// The viewer may not see it.
pub(super) fn may_search(viewer: &Viewer, what: &str) -> Result<(), Fault> {
    if viewer.sees_payloads {
        return Ok(());
    }
    let told = format!("your role may not select by {what}: it may quote the event");
    Err(Fault::failed(told).remedy("leave it out, or log in with a token whose role is operate"))
}

/// All of it, line by line: what is too long was cut before.
fn lines(text: &str) -> String {
    let lines = text.split('\n').map(|line| printable(line, usize::MAX));
    lines.collect::<Vec<_>>().join("\n")
}

/// The fields of an entry.
pub(super) fn fields(entry: &Entry) -> Markup {
    let more = entry.fields_found.saturating_sub(entry.fields.len());
    html! {
        dl.fields {
            @for field in &entry.fields {
                dt { (shown(&field.name)) }
                dd { (contents(field.text.as_deref(), field.is_hex, field.bytes, field.is_cut)) }
            }
        }
        @if more > 0 { p.hint { "It has " (more) " more fields, which are not shown." } }
    }
}

/// An object or a list of JSON, indented. Numbers and strings stay byte for byte. `None`: it is
/// neither, or too deep or too long for that.
pub(super) fn pretty(text: &str) -> Option<String> {
    let text = text.trim();
    if !text.starts_with(['{', '[']) || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return None;
    }
    let bytes_max = (GROWTH_MAX * text.len()).max(BYTES_MIN);
    let (mut out, mut depth, mut in_string, mut escaped) = (String::new(), 0_usize, false, false);
    let mut letters = text.chars().filter(|letter| !letter.is_control()).peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(letter) = letters.next() {
        if in_string {
            out.push(letter);
            in_string = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
            continue;
        }
        match letter {
            ' ' => {
                // Between tokens. A trailing one before a bracket matters to nobody.
            }
            '"' => {
                in_string = true;
                out.push('"');
            }
            '{' | '[' => {
                out.push(letter);
                while letters.peek() == Some(&' ') {
                    letters.next();
                }
                if matches!(letters.peek(), Some('}' | ']')) {
                    out.extend(letters.next());
                    continue;
                }
                depth += 1;
                line(&mut out, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            other => out.push(other),
        }
        if depth > DEPTH_MAX || out.len() > bytes_max {
            return None;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_means_the_same() {
        let table = [
            ("{}", "{}"),
            ("[ ]", "[]"),
            ("{\"a\":1.00,\"b\":[1,2]}", "{\n  \"a\": 1.00,\n  \"b\": [\n    1,\n    2\n  ]\n}"),
            (
                " {\"big\" : 12345678901234567890123, \"s\":\"a{\\\",:[ \\\\\"} ",
                "{\n  \"big\": 12345678901234567890123,\n  \"s\": \"a{\\\",:[ \\\\\"\n}",
            ),
            (
                "{\"b\":{},\"a\":[],\n\t\"a\":null}",
                "{\n  \"b\": {},\n  \"a\": [],\n  \"a\": null\n}",
            ),
        ];
        for (text, expected) in table {
            let formatted = pretty(text).expect(text);
            assert_eq!(formatted, expected);
            let same = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
            assert_eq!(same(text), same(&formatted), "{text}");
        }
        for text in ["", "1", "\"a\"", "{", "{a}", "text", "{} {}"] {
            assert_eq!(pretty(text), None, "{text:?}");
        }
        let wide = format!("{}{}{}", "[".repeat(39), "1,".repeat(2_000) + "1", "]".repeat(39));
        assert_eq!(pretty(&wide), None, "80 bytes for each two of an event");
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(pretty(&deep), None);
    }

    #[test]
    fn nothing_of_it_becomes_markup() {
        let evil = "{\"a\":\"<script>alert(1)</script>\u{202e}\"}";
        let html = contents(Some(evil), false, 10, false).into_string()
            + &contents(Some("<img src=x onerror=y>"), false, 10, true).into_string()
            + &contents(None, false, 12_345, false).into_string();
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
        assert!(!html.contains('\u{202e}') && html.contains("12\u{202f}345 bytes"), "{html}");
    }
}
