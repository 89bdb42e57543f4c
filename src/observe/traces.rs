//! Tracing: a span for each batch that is sent, exported by OTLP where it is configured. Idle
//! otherwise: one branch a batch.
//!
//! A batch carries events of many traces, so that it cannot be a part of each: it is a trace of its
//! own, with a link to the `traceparent` of every event, as OpenTelemetry has it for messages in
//! batches. The events' own `traceparent` is passed on to the stream as it is. Names and attributes
//! are those of the semantic conventions for messaging (1.44).
//!
//! Without the cargo feature `otlp` there is nothing behind it.

#[cfg(not(feature = "otlp"))]
mod disabled;
#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod link;

#[cfg(not(feature = "otlp"))]
pub use disabled::{Exporter, Spans};
#[cfg(feature = "otlp")]
pub use export::{Exporter, Spans};

/// Where the collector is, for both signals and for traces alone.
const ENDPOINT_VARIABLES: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The address from the environment, if there is one and tracing is not switched off.
fn from_environment() -> Option<(&'static str, String)> {
    let value = |name: &'static str| {
        std::env::var(name).ok().filter(|value| !value.is_empty()).map(|value| (name, value))
    };
    ENDPOINT_VARIABLES.into_iter().find_map(value)
}
