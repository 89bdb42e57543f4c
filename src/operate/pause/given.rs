//! What somebody gives for a pause, on the command line or in a form. Pure.

use std::time::Duration;

use super::which::{unknown_stream, writers};
use super::{STREAM_BYTES_MAX, WHY_CHARS_MAX};
use crate::relay::options::OutboxOptions;
use outflow_core::fault::Fault;

/// Longest pause that ends by itself.
const LENGTH_MAX: Duration = Duration::from_hours(24 * 366 * 10);

/// The reason.
///
/// # Errors
/// It is empty or too long.
pub fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err("it is empty; say why, for whoever finds the outbox paused".to_owned()),
        chars if chars > WHY_CHARS_MAX => {
            Err(format!("{chars} characters are too many; at most {WHY_CHARS_MAX}"))
        }
        _ => Ok(text.to_owned()),
    }
}

/// After which it ends by itself.
///
/// # Errors
/// It is no duration, too short or too long.
pub fn length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if length < Duration::from_secs(1) {
        return Err("expected 1s or more".to_owned());
    }
    if length > LENGTH_MAX {
        return Err("expected 10 years or less; leave it out to pause until resumed".to_owned());
    }
    Ok(length)
}

/// Those of these outboxes whose rows can have this stream. `known`: streams that there are.
///
/// # Errors
/// There is none, or the name is too long.
pub fn stream<'a>(
    outboxes: &[&'a OutboxOptions],
    stream: &str,
    known: &[String],
) -> Result<Vec<&'a OutboxOptions>, Fault> {
    let writers = writers(outboxes, stream);
    if writers.is_empty() {
        return Err(unknown_stream(outboxes, stream, known));
    }
    let bytes = stream.len();
    if bytes > STREAM_BYTES_MAX {
        return Err(Fault::failed(format!(
            "a stream whose name has {bytes} bytes cannot be paused; at most {STREAM_BYTES_MAX}"
        )));
    }
    Ok(writers)
}
