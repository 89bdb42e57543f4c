//! `traceparent` of W3C Trace Context: which trace an event belongs to.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

/// A valid `traceparent`: `version-traceid-parentid-flags` in lower-case hexadecimal digits. Later
/// versions may add more behind a dash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceParent(String);

/// Why a text is no `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a traceparent such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
pub struct BadTraceParent;

impl TraceParent {
    /// Makes one of version 00 from the ids of a trace and of a span.
    pub fn from_ids(trace_id: NonZeroU128, span_id: NonZeroU64, is_sampled: bool) -> Self {
        Self(format!("00-{trace_id:032x}-{span_id:016x}-{:02x}", u8::from(is_sampled)))
    }

    /// The text, as it was parsed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trace's id: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }

    /// The trace's id in a text, if that is a `traceparent`.
    pub fn trace_id_of(text: &str) -> Option<&str> {
        text.parse::<Self>().ok()?;
        text.get(3..35)
    }

    /// The id of the span that the event was written in: 16 hexadecimal digits.
    pub fn span_id(&self) -> &str {
        &self.0[36..52]
    }

    /// The flags: two hexadecimal digits.
    pub fn flags(&self) -> &str {
        &self.0[53..55]
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TraceParent {
    type Err = BadTraceParent;

    fn from_str(text: &str) -> Result<Self, BadTraceParent> {
        let parts: Vec<&str> = text.splitn(5, '-').collect();
        let [version, trace, span, flags, rest @ ..] = parts.as_slice() else {
            return Err(BadTraceParent);
        };
        let is_valid = is_hex(version, 2)
            && *version != "ff"
            && (rest.is_empty() || *version != "00")
            && (is_hex(trace, 32) && is_nonzero(trace))
            && (is_hex(span, 16) && is_nonzero(span))
            && is_hex(flags, 2);
        if is_valid { Ok(Self(text.to_owned())) } else { Err(BadTraceParent) }
    }
}

fn is_hex(part: &str, digits: usize) -> bool {
    part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_nonzero(part: &str) -> bool {
    part.bytes().any(|byte| byte != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_recommendation_allows_is_valid() {
        let rows = [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", false),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é", false),
            ("", false),
        ];
        for (text, is_valid) in rows {
            assert_eq!(text.parse::<TraceParent>().is_ok(), is_valid, "{text:?}");
        }
    }

    #[test]
    fn parts_are_the_text_s() {
        let text = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02-more";
        let parsed: TraceParent = text.parse().expect("it is valid");
        assert_eq!(parsed.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parsed.span_id(), "00f067aa0ba902b7");
        assert_eq!(parsed.flags(), "02");
        assert_eq!(parsed.to_string(), text);
    }

    #[test]
    fn one_of_ids_is_valid() {
        let made = TraceParent::from_ids(NonZeroU128::MIN, NonZeroU64::MAX, true);
        let text = "00-00000000000000000000000000000001-ffffffffffffffff-01";
        assert_eq!(made.as_str(), text);
        assert_eq!(text.parse(), Ok(made));
    }
}
