//! Which streams an outbox writes to: remembered here by each relay, and in Redis for all of them.
//!
//! A template such as `events.{aggregate_type}` also fits streams of others, among them the dead
//! letters of a consumer (`events.order.dead`). Nothing is trimmed that no relay has written to.

use std::collections::{BTreeSet, HashSet};

use parking_lot::{Mutex, MutexGuard};

use super::Refusal;
use super::keys::registry_key;
use crate::relay::encode::Entries;
use outflow_connect::redis::{Args, Failure, Redis, Reply};

/// Streams that one relay remembers. Further ones are neither looked at nor trimmed.
pub const STREAMS_MAX: usize = 10_000;

/// The streams that this relay has written to.
#[derive(Debug, Default)]
pub struct Written(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    noted: HashSet<String>,
    /// Those that Redis was not told yet.
    new: BTreeSet<String>,
    is_over: bool,
}

impl Written {
    /// These entries were appended, save those of the streams that refused.
    pub(in crate::relay) fn note(&self, entries: &Entries, refused: &[Refusal]) {
        let mut state = self.state();
        for stream in &entries.streams {
            if state.noted.contains(stream)
                || refused.iter().any(|refusal| refusal.stream == *stream)
            {
                continue;
            }
            if state.noted.len() >= STREAMS_MAX {
                state.is_over = true;
                return;
            }
            state.noted.insert(stream.clone());
            state.new.insert(stream.clone());
        }
    }

    /// Takes those that Redis was not told yet.
    pub fn take_new(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.state().new)
    }

    /// Redis was not told of these.
    pub fn put_back(&self, names: BTreeSet<String>) {
        self.state().new.extend(names);
    }

    /// Redis is told of every stream once more that is written to from here on: it may have lost
    /// some, and others may be gone.
    pub fn start_over(&self) {
        let mut state = self.state();
        state.noted.clear();
        state.is_over = false;
    }

    /// Whether there were more than [`STREAMS_MAX`].
    pub fn is_over(&self) -> bool {
        self.state().is_over
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

/// What all relays of an outbox have written to, in Redis: a hash beside the journal, with a field
/// for each stream.
#[derive(Debug)]
pub struct Registry {
    redis: Redis,
    key: String,
}

impl Registry {
    /// `journal` and `tag` as for the journal itself, in whose slot it is.
    pub fn new(redis: Redis, journal: &str, tag: Option<&str>) -> Self {
        let tag = tag.filter(|_| redis.is_cluster());
        Self { redis, key: registry_key(journal, tag) }
    }

    /// Adds streams.
    ///
    /// # Errors
    /// Repeating it is safe.
    pub async fn add(&self, names: &BTreeSet<String>) -> Result<(), Failure> {
        let mut args = Args::with_capacity(1 + 2 * names.len());
        args.text(self.key.as_str());
        for name in names {
            args.text(name.as_str()).word("1");
        }
        self.redis.call("HSET", args).await.map(drop)
    }

    /// Removes a stream that does not exist.
    ///
    /// # Errors
    /// Repeating it is safe.
    pub async fn remove(&self, name: &str) -> Result<(), Failure> {
        self.redis.call("HDEL", Args::from([self.key.as_str(), name])).await.map(drop)
    }

    /// Every stream.
    ///
    /// # Errors
    /// Redis refuses, or does not answer.
    pub async fn all(&self) -> Result<BTreeSet<String>, Failure> {
        let reply = self.redis.call("HKEYS", Args::from([self.key.as_str()])).await?;
        Ok(reply.items().iter().filter_map(Reply::string).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(names: impl IntoIterator<Item = String>) -> Entries {
        Entries { streams: names.into_iter().collect(), ..Entries::default() }
    }

    #[test]
    fn each_stream_is_told_once_unless_it_refused() {
        let written = Written::default();
        let refusal = Refusal { stream: "b".to_owned(), message: "WRONGTYPE".to_owned() };
        written.note(&entries(["a".to_owned(), "b".to_owned()]), &[refusal]);
        let new = written.take_new();
        assert_eq!(new, BTreeSet::from(["a".to_owned()]));
        written.note(&entries(["a".to_owned(), "b".to_owned()]), &[]);
        assert_eq!(written.take_new(), BTreeSet::from(["b".to_owned()]));
        written.put_back(new);
        assert_eq!(written.take_new(), BTreeSet::from(["a".to_owned()]));
        written.start_over();
        written.note(&entries(["a".to_owned()]), &[]);
        assert_eq!(written.take_new().len(), 1);
    }

    #[test]
    fn their_number_is_bounded() {
        let written = Written::default();
        written.note(&entries((0..STREAMS_MAX).map(|number| number.to_string())), &[]);
        assert!(!written.is_over());
        written.note(&entries(["one more".to_owned()]), &[]);
        assert!(written.is_over());
        assert_eq!(written.take_new().len(), STREAMS_MAX);
    }
}
