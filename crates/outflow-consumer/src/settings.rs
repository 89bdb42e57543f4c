//! What a consumer is told: which group of which streams it belongs to, and its limits.

use std::time::Duration;

use secrecy::SecretString;

use outflow_connect::redis::{BadUrl, Redis, slot};

/// The settings of one consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The streams to read; at least one. Order is kept per stream and key.
    pub streams: Vec<Source>,
    /// The consumer group, the same on every stream. Created from the stream's beginning where it
    /// does not exist, the stream with it.
    pub group: String,
    /// This consumer's name within the group. Unique among those that run, and the same after a
    /// restart: whoever comes back under its name goes on with its own pending entries at once,
    /// instead of waiting for `claim_idle`.
    pub consumer: String,
    /// How many calls of the handler go on at a time; at least 1.
    pub workers: usize,
    /// How many entries go into one call, each of another key; at least 1. More than 1 pays for a
    /// handler with a [`handle_many`](super::Handler::handle_many) of its own. No entry waits for a
    /// call to fill up.
    pub handle_batch: usize,
    /// How many entries are read at a time; at least 1, at most 1,000.
    pub batch: usize,
    /// How many entries, with their payloads, are kept in memory; at least 1. Entries behind one
    /// that is being retried are kept by their ids alone and do not count.
    pub prefetch: usize,
    /// How many bytes of entries are kept in memory, over all streams. What does not fit is kept by
    /// its id alone and fetched when its turn comes; an entry that is larger than a quarter of this
    /// then has that quarter to itself. The handler's own use of memory, for the payloads that it
    /// works on, comes on top.
    pub prefetch_bytes: usize,
    /// The largest entry that is handled; a larger one is dead-lettered inside Redis, without ever
    /// being fetched. An entry counts with its texts and 64 bytes for each; its headers count
    /// sixteen-fold, which is what they take when parsed.
    pub entry_bytes_max: usize,
    /// How many entries of a stream may be pending in the whole group; from then on nothing new is
    /// read. It bounds what piles up behind a key that cannot be handled.
    pub pending_max: usize,
    /// How often an entry is attempted before it is dead-lettered; at least 1.
    pub attempts_max: u32,
    /// The pause before the second attempt; it doubles with each further one, up to
    /// [`RETRY_DELAY_MAX`], with jitter.
    pub retry_delay: Duration,
    /// How long one attempt may take: then it is broken off (the handler's future is dropped). If
    /// what the handler needs does not answer either ([`Handler::probe`](super::Handler::probe)),
    /// the entry is not to blame, and everything waits for that. If it does, the entry is tried
    /// again alone, and counts as failed only when it takes too long then as well. Longer than any
    /// timeout of the servers that the handler uses, so that these come first; shorter than
    /// `claim_idle`, so that an attempt is over before anybody else can take its entry over,
    /// whatever becomes of our signs of life.
    pub attempt_timeout: Duration,
    /// How long a stop waits for attempts under way; then they are broken off and taken back. Some
    /// seconds more are for Redis, if it does not answer.
    pub stop_grace: Duration,
    /// How long an entry lies with a consumer that shows no sign of life before another one takes
    /// it over.
    pub claim_idle: Duration,
    /// How long a consumer without pending entries has to be gone before its name is removed from
    /// the group.
    pub forget_idle: Duration,
}

/// A stream, and where its dead letters go. On a Redis cluster both must be in one slot
/// ([`Source::at`] sees to it); the streams of one consumer need not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The stream to read.
    pub stream: String,
    /// Where entries go that cannot be handled.
    pub dead_letter_stream: String,
}

/// The longest pause between two attempts (or `retry_delay`, if that is longer).
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(30);

impl Settings {
    /// Settings with the defaults: dead letters to `<stream>.dead`; 16 workers, each with one entry
    /// at a time, 64 entries read at a time, 256 and 8 MiB in memory, none larger than 8 MiB,
    /// 10,000 pending; 5 attempts of at most 20 s, 200 ms between; a stop within 10 s; taken over
    /// after 30 s, forgotten after an hour.
    pub fn new(stream: &str, group: &str, consumer: &str) -> Self {
        Self {
            streams: vec![Source::new(stream)],
            group: group.to_owned(),
            consumer: consumer.to_owned(),
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
        }
    }

    /// Adds a stream, with dead letters to `<stream>.dead`.
    #[must_use]
    pub fn and(mut self, stream: &str) -> Self {
        self.streams.push(Source::new(stream));
        self
    }
}

impl Source {
    /// A stream with dead letters to `<stream>.dead`.
    pub fn new(stream: &str) -> Self {
        Self { stream: stream.to_owned(), dead_letter_stream: format!("{stream}.dead") }
    }

    /// A stream at this address. On a cluster a stream without a hash tag has its dead letters in
    /// `{<stream>}.dead`, which is in its slot.
    pub fn at(url: &SecretString, stream: &str) -> Self {
        let source = Self::new(stream);
        if Redis::is_cluster_url(url) && slot(&source.dead_letter_stream) != slot(stream) {
            return Self { dead_letter_stream: format!("{{{stream}}}.dead"), ..source };
        }
        source
    }

    /// A hash of the group's beside the stream: `keys`, in which read.lua remembers what is being
    /// worked on, or `state`.
    pub(super) fn beside(&self, group: &str, what: &str, is_cluster: bool) -> String {
        let (stream, plain) = (&self.stream, format!("{}.{group}.{what}", self.stream));
        if is_cluster && slot(&plain) != slot(stream) {
            format!("{{{stream}}}.{group}.{what}")
        } else {
            plain
        }
    }

    /// # Errors
    /// When scripts would need keys in different slots of a cluster.
    pub(super) fn check(&self, group: &str) -> Result<(), BadUrl> {
        let Self { stream, dead_letter_stream } = self;
        if slot(&self.beside(group, "keys", true)) != slot(stream) {
            return Err(BadUrl::because(format!(
                "on a Redis cluster, stream {stream:?} needs a name without braces, or one with a \
                    hash tag such as {{events}}.order"
            )));
        }
        if slot(dead_letter_stream) != slot(stream) {
            let better = Self::at(&"redis-cluster://".into(), stream).dead_letter_stream;
            return Err(BadUrl::because(format!(
                "stream {stream:?} and its dead-letter stream {dead_letter_stream:?} are in \
                    different slots of the Redis \
                 cluster, and one script writes to both: call the dead-letter stream {better:?}"
            )));
        }
        Ok(())
    }
}
