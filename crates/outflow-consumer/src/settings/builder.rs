//! Settings one by one, and the check of all of them.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Settings;
use super::bad::BadSetting;
use super::source::Source;

/// Entries that one script may read.
const BATCH_MAX: usize = 1_000;
/// Calls of the handler, and entries in one.
const CALLS_MAX: usize = 10_000;
const DAY: Duration = Duration::from_hours(24);

/// Builds [`Settings`]. Each method documents one setting with its default.
#[derive(Debug, Clone)]
#[must_use]
pub struct SettingsBuilder(Settings);

impl Settings {
    /// Starts with the defaults, for one stream.
    ///
    /// `group` is the consumer group, the same on every stream. The consumer creates it, from the
    /// beginning of the stream, if it does not exist, and the stream with it.
    ///
    /// `consumer` is this consumer's name within the group. It must be unique among the running
    /// consumers and stay the same over a restart: a consumer that comes back under its name goes
    /// on with its own pending entries at once, instead of after `claim_idle`.
    pub fn builder(
        stream: impl Into<Source>,
        group: impl Into<String>,
        consumer: impl Into<String>,
    ) -> SettingsBuilder {
        SettingsBuilder::new(stream.into(), group.into(), consumer.into())
    }
}

impl SettingsBuilder {
    pub(super) fn new(stream: Source, group: String, consumer: String) -> Self {
        Self(Settings {
            streams: vec![stream],
            group,
            consumer,
            workers: 16,
            handle_batch: 1,
            batch: 64,
            prefetch: 256,
            prefetch_bytes: 8 << 20,
            entry_bytes_max: 8 << 20,
            pending_max: 10_000,
            attempts_max: 5,
            retry_delay: Duration::from_millis(200),
            attempt_timeout: Duration::from_secs(20),
            stop_grace: Duration::from_secs(10),
            claim_idle: Duration::from_secs(30),
            forget_idle: Duration::from_hours(1),
        })
    }

    /// Adds a stream. The order of entries is kept per stream and key.
    pub fn stream(mut self, stream: impl Into<Source>) -> Self {
        self.0.streams.push(stream.into());
        self
    }

    /// Maximum number of concurrent calls of the handler. Default: 16.
    pub fn workers(mut self, workers: usize) -> Self {
        self.0.workers = workers;
        self
    }

    /// Maximum number of entries in one call of the handler, each of another key. More than 1 pays
    /// for a handler with its own [`handle_many`](crate::Handler::handle_many). A call never waits
    /// to fill up. Default: 1.
    pub fn handle_batch(mut self, entries: usize) -> Self {
        self.0.handle_batch = entries;
        self
    }

    /// Maximum number of entries per read, at most 1,000. Default: 64.
    pub fn batch(mut self, entries: usize) -> Self {
        self.0.batch = entries;
        self
    }

    /// Maximum number of entries kept in memory with their payloads. Entries that wait behind one
    /// under retry are kept by their ids alone and do not count. Default: 256.
    pub fn prefetch(mut self, entries: usize) -> Self {
        self.0.prefetch = entries;
        self
    }

    /// Maximum number of bytes of entries kept in memory, over all streams. An entry that does not
    /// fit is kept by its id alone and fetched when its turn comes; an entry that is larger than a
    /// quarter of this then has that quarter to itself. The memory that the handler uses for the
    /// payloads comes on top. Default: 8 MiB.
    pub fn prefetch_bytes(mut self, bytes: usize) -> Self {
        self.0.prefetch_bytes = bytes;
        self
    }

    /// Maximum size of an entry, in bytes. A larger one is dead-lettered inside Redis, without ever
    /// being fetched. An entry counts with its texts and 64 bytes for each; its headers count 16
    /// times, which is what they take when parsed. Default: 8 MiB.
    pub fn entry_bytes_max(mut self, bytes: usize) -> Self {
        self.0.entry_bytes_max = bytes;
        self
    }

    /// Maximum number of pending entries per stream in the whole group. At this number the
    /// consumers read nothing new. It bounds what piles up behind a key that cannot be handled.
    /// Default: 10,000.
    pub fn pending_max(mut self, entries: usize) -> Self {
        self.0.pending_max = entries;
        self
    }

    /// Number of attempts before an entry is dead-lettered. Default: 5.
    pub fn attempts_max(mut self, attempts: u32) -> Self {
        self.0.attempts_max = attempts;
        self
    }

    /// Pause before the second attempt. It doubles with each further attempt, up to 30 s, with
    /// jitter. Default: 200 ms.
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.0.retry_delay = delay;
        self
    }

    /// Time limit of one attempt; the handler's future is then dropped. If what the handler needs
    /// does not answer either ([`Handler::probe`](crate::Handler::probe)), the entry is not to
    /// blame, and everything waits. If it answers, the entry is attempted again alone, and counts
    /// as failed only if it takes too long then as well.
    ///
    /// Must be longer than any timeout of the servers that the handler uses, so that these come
    /// first, and should be shorter than `claim_idle`, so that an attempt is over before another
    /// consumer can take over its entry. Default: 20 s.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.0.attempt_timeout = limit;
        self
    }

    /// How long a stop waits for running attempts before it cancels them and takes them back. A
    /// few seconds more are for Redis, if it does not answer. Default: 10 s.
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.0.stop_grace = grace;
        self
    }

    /// Time without a heartbeat after which other consumers take over a consumer's entries.
    /// Default: 30 s.
    pub fn claim_idle(mut self, idle: Duration) -> Self {
        self.0.claim_idle = idle;
        self
    }

    /// Time after which a consumer that is gone and has nothing pending is removed from the group.
    /// Default: 1 h.
    pub fn forget_idle(mut self, idle: Duration) -> Self {
        self.0.forget_idle = idle;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`BadSetting`] names the first setting that cannot be used, its value and what is expected.
    pub fn build(self) -> Result<Settings, BadSetting> {
        let Self(settings) = self;
        settings.check()?;
        Ok(settings)
    }
}

impl Settings {
    fn check(&self) -> Result<(), BadSetting> {
        within("workers", &self.workers, &(1..=CALLS_MAX))?;
        within("handle_batch", &self.handle_batch, &(1..=CALLS_MAX))?;
        within("batch", &self.batch, &(1..=BATCH_MAX))?;
        within("prefetch", &self.prefetch, &(1..=1_000_000))?;
        within("prefetch_bytes", &self.prefetch_bytes, &(16 << 10..=1 << 40))?;
        within("entry_bytes_max", &self.entry_bytes_max, &(1..=1 << 40))?;
        within("pending_max", &self.pending_max, &(1..=1 << 40))?;
        within("attempts_max", &self.attempts_max, &(1..=u32::MAX))?;
        // Redis counts milliseconds: a shorter time would be none.
        lasting("retry_delay", self.retry_delay, 1)?;
        lasting("attempt_timeout", self.attempt_timeout, 1)?;
        lasting("stop_grace", self.stop_grace, 0)?;
        lasting("claim_idle", self.claim_idle, 10)?;
        lasting("forget_idle", self.forget_idle, 1)?;
        named("group", &self.group)?;
        named("consumer", &self.consumer)?;
        let streams: Vec<&str> = self.streams.iter().map(|source| source.stream.as_str()).collect();
        for (number, source) in self.streams.iter().enumerate() {
            named("stream", &source.stream)?;
            if streams[..number].contains(&source.stream.as_str()) {
                return Err(bad("stream", format!("{:?} twice", source.stream), "each once"));
            }
            let dead = source.dead_letter_stream(false);
            named("dead_letter_stream", &dead)?;
            if streams.contains(&dead.as_str()) {
                let expected = "a stream that this consumer does not read";
                return Err(bad("dead_letter_stream", format!("{dead:?}"), expected));
            }
        }
        Ok(())
    }
}

fn bad(name: &'static str, value: String, expected: impl Into<String>) -> BadSetting {
    BadSetting { name, value, expected: expected.into() }
}

fn within<T: PartialOrd + Display>(
    name: &'static str,
    value: &T,
    range: &RangeInclusive<T>,
) -> Result<(), BadSetting> {
    if range.contains(value) {
        return Ok(());
    }
    Err(bad(name, value.to_string(), format!("{} to {}", range.start(), range.end())))
}

fn lasting(name: &'static str, value: Duration, least_ms: u64) -> Result<(), BadSetting> {
    // A group forgets its consumers after days, if it likes.
    let most = if name == "forget_idle" { DAY * 365 } else { DAY };
    if (Duration::from_millis(least_ms)..=most).contains(&value) {
        return Ok(());
    }
    let expected = format!("{least_ms} ms to {} h", most.as_secs() / 3_600);
    Err(bad(name, format!("{value:?}"), expected))
}

fn named(name: &'static str, value: &str) -> Result<(), BadSetting> {
    if value.is_empty() { Err(bad(name, "empty".to_owned(), "a name")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Settings, SettingsBuilder, Source};

    #[test]
    fn what_cannot_be_used_is_named_with_its_value_and_what_is_expected() {
        type Change = fn(SettingsBuilder) -> SettingsBuilder;
        let rows: [(Change, &str); 10] = [
            (|all| all.workers(0), "workers is 0; expected 1 to 10000"),
            (|all| all.handle_batch(0), "handle_batch is 0; expected 1 to 10000"),
            (|all| all.batch(1_001), "batch is 1001; expected 1 to 1000"),
            (|all| all.prefetch_bytes(1), "prefetch_bytes is 1; expected 16384 to"),
            (|all| all.attempts_max(0), "attempts_max is 0; expected 1 to"),
            (
                |all| all.claim_idle(Duration::from_millis(9)),
                "claim_idle is 9ms; expected 10 ms to 24 h",
            ),
            (|all| all.retry_delay(Duration::ZERO), "retry_delay is 0ns; expected 1 ms to 24 h"),
            (|all| all.stream("events"), "stream is \"events\" twice; expected each once"),
            (|all| all.stream(""), "stream is empty; expected a name"),
            (
                |all| all.stream(Source::new("other").dead_letters_to("events")),
                "dead_letter_stream is \"events\"; expected a stream that this consumer does not",
            ),
        ];
        for (change, expected) in rows {
            let built = change(Settings::builder("events", "group", "one")).build();
            let error = built.expect_err(expected).to_string();
            assert!(error.starts_with(&format!("setting {expected}")), "{error}");
        }
        assert!(Settings::builder("events", "", "one").build().is_err());
        assert!(Settings::builder("events", "group", "").build().is_err());
        let settings = Settings::builder("events", "group", "one").stream("others").build();
        assert_eq!(settings.expect("settings").streams().len(), 2);
    }

    #[test]
    fn dead_letters_are_in_the_slot_of_their_stream() {
        let plain = Source::new("events.order");
        assert_eq!(plain.dead_letter_stream(false), "events.order.dead");
        assert_eq!(plain.dead_letter_stream(true), "{events.order}.dead");
        let tagged = Source::new("{events}.order");
        assert_eq!(tagged.dead_letter_stream(true), "{events}.order.dead");
        assert_eq!(tagged.check_slots("group"), Ok(()));
        let elsewhere = plain.dead_letters_to("elsewhere").check_slots("group");
        let error = elsewhere.expect_err("another slot").to_string();
        assert!(
            error.contains("\"elsewhere\"") && error.contains("{events.order}.dead"),
            "{error}"
        );
        assert!(Source::new("}{").check_slots("group").is_err());
    }
}
