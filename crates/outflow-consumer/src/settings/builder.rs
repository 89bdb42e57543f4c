//! Settings one by one.

use std::time::Duration;

use super::bad::BadSetting;
use super::rate::Rate;
use super::source::Source;
use super::{LimitedType, Settings};

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
            rate: None,
            types: Vec::new(),
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

    /// Maximum number of entries of this event type that are handled at a time, by this consumer
    /// and over all of its streams: 1 to 10,000. A second call for the same type replaces the
    /// first. At most 100 types can have limits, with names of at most 512 bytes. Default: no
    /// limit but `workers`.
    ///
    /// Entries of other types go on, except behind one of the same key: the order per key stays.
    /// Entries that wait for the limit are kept by their ids alone, do not count as
    /// [`prefetch`](Self::prefetch), and are fetched when their turn comes. All types with limits
    /// together have an eighth of [`prefetch_bytes`](Self::prefetch_bytes) to fetch into, which is
    /// the lower limit if their entries are large. An entry that is larger than that is fetched
    /// alone, and other entries that must be fetched may wait for it.
    ///
    /// Reading goes on until `pending_max` entries are pending in the group; from then on, other
    /// types wait as well.
    ///
    /// An entry has a place from the start of its attempt until its outcome is noted in Redis. It
    /// has none while it waits for its next attempt.
    pub fn type_limit(mut self, event_type: impl Into<String>, entries: usize) -> Self {
        self.limited_type(event_type.into()).entries = Some(entries);
        self
    }

    /// Maximum rate at which this consumer handles entries of this event type; see
    /// [`rate_limit`](Self::rate_limit), and [`type_limit`](Self::type_limit) for what becomes of
    /// those that wait and of the others. Default: no limit.
    pub fn type_rate_limit(mut self, event_type: impl Into<String>, rate: Rate) -> Self {
        self.limited_type(event_type.into()).rate = Some(rate);
        self
    }

    /// Maximum rate at which this consumer handles entries, over all streams and types. Each
    /// attempt counts, the first one and the later ones. Each entry counts, also if several share
    /// a call. The group as a whole has the rate of all its consumers together. Entries that wait
    /// count as `prefetch`, so reading waits too. Default: no limit.
    pub fn rate_limit(mut self, rate: Rate) -> Self {
        self.0.rate = Some(rate);
        self
    }

    fn limited_type(&mut self, name: String) -> &mut LimitedType {
        let types = &mut self.0.types;
        let place = types.iter().position(|limited| limited.name == name).unwrap_or(types.len());
        if place == types.len() {
            types.push(LimitedType { name, ..LimitedType::default() });
        }
        &mut types[place]
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
