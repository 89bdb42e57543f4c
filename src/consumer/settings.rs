//! What a consumer is told: which group of which stream it belongs to, and its limits.

use std::time::Duration;

/// The settings of one consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The stream to read.
    pub stream: String,
    /// The consumer group. Created from the stream's beginning if it does not exist, the stream with it.
    pub group: String,
    /// This consumer's name within the group. Unique among those that run, and the same after a restart: whoever comes
    /// back under its name goes on with its own pending entries at once, instead of waiting for `claim_idle`.
    pub consumer: String,
    /// Where entries go that cannot be handled.
    pub dead_letter_stream: String,
    /// How often an entry is attempted before it goes there; at least 1.
    pub attempts_max: u32,
    /// The pause before the second attempt; it doubles with each further one, up to [`RETRY_DELAY_MAX`], with jitter.
    pub retry_delay: Duration,
    /// How long an entry lies with a consumer that shows no sign of life before another one takes it over.
    pub claim_idle: Duration,
    /// How many entries are read at a time; at least 1.
    pub batch: usize,
}

/// The longest pause between two attempts (or `retry_delay`, if that is longer).
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(30);

impl Settings {
    /// Settings with the defaults: dead letters to `<stream>.dead`, 5 attempts, 200 ms, 30 s, 64 entries.
    pub fn new(stream: &str, group: &str, consumer: &str) -> Self {
        Self {
            stream: stream.to_owned(),
            group: group.to_owned(),
            consumer: consumer.to_owned(),
            dead_letter_stream: format!("{stream}.dead"),
            attempts_max: 5,
            retry_delay: Duration::from_millis(200),
            claim_idle: Duration::from_secs(30),
            batch: 64,
        }
    }
}
