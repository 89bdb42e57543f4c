//! A link to the trace that an event belongs to. Pure.

use opentelemetry::trace::{Link, SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use crate::relay::trace::trace_parent;

/// A link to the trace of an event; `None` if its headers name none, or not as W3C has it. An event
/// is never refused for that.
pub(super) fn link(headers: &[u8]) -> Option<Link> {
    let parent = trace_parent(headers)?;
    let flags = TraceFlags::new(u8::from_str_radix(parent.flags(), 16).ok()?);
    let trace = TraceId::from_hex(parent.trace_id()).ok()?;
    let span = SpanId::from_hex(parent.span_id()).ok()?;
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then(|| Link::with_context(context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_w3c_allows_is_a_link() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let span = "00f067aa0ba902b7";
        let table = [
            (format!("00-{trace}-{span}-01"), true),
            (format!("00-{trace}-{span}-00"), true),
            (format!("01-{trace}-{span}-01-more"), true),
            (format!("00-{trace}-{span}-01-more"), false),
            (format!("ff-{trace}-{span}-01"), false),
            (format!("00-{}-{span}-01", "0".repeat(32)), false),
            (format!("00-{trace}-{}-01", "0".repeat(16)), false),
            (format!("00-{}-{span}-01", trace.to_uppercase()), false),
            (format!("00-{trace}-{span}"), false),
            (String::new(), false),
        ];
        for (traceparent, is_link) in &table {
            let headers = serde_json::json!({"tenant": 7, "traceparent": traceparent}).to_string();
            let link = link(headers.as_bytes());
            assert_eq!(link.is_some(), *is_link, "{traceparent}");
            let shown = link.map(|link| link.span_context.trace_id().to_string());
            assert_eq!(shown.as_deref(), is_link.then_some(trace), "{traceparent}");
        }
        for headers in ["{}", "[]", "nonsense", r#"{"traceparent": 7}"#, r#"{"traceparent": null}"#]
        {
            assert!(link(headers.as_bytes()).is_none(), "{headers}");
        }
    }
}
