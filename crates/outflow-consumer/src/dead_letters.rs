//! The dead letters of a stream: listed, retried, discarded.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Map, Value};

use super::id::EntryId;
use super::settings::Source;
use outflow_connect::redis::{Args, BadUrl, Failure, Redis, Reply, Script};

/// Dead letters read at a time.
const PAGE: usize = 200;
/// What was added to an entry begins with this.
const ADDED: &str = "dead_";

/// The dead letters of a stream, of every group that reads it.
#[derive(Debug)]
pub struct DeadLetters {
    pub(super) redis: Redis,
    pub(super) stream: String,
    retry: Script,
}

/// One entry of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Its id in the dead-letter stream.
    pub id: String,
    /// When it died.
    pub died_at: Option<Timestamp>,
    /// Where it came from; empty if the entry does not say so (it was not put there by us).
    pub stream: String,
    /// Its id there.
    pub entry_id: String,
    /// The group that could not handle it.
    pub group: String,
    /// How often it was attempted.
    pub attempts: u32,
    /// What went wrong.
    pub error: String,
    /// The fields that it had in its stream; values that are no text with replacement characters.
    pub fields: Map<String, Value>,
}

/// Chooses dead letters. The default chooses all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeadFilter {
    /// Only these.
    pub ids: Option<Vec<EntryId>>,
    /// Whose error has these words in it, in any case.
    pub reason: Option<String>,
    /// Of this type: the value of the field `type`.
    pub event_type: Option<String>,
    /// With this key: the value of the field `key`.
    pub key: Option<String>,
    /// That this group could not handle.
    pub group: Option<String>,
    /// That died then or later.
    pub since: Option<Timestamp>,
    /// That died before then.
    pub until: Option<Timestamp>,
    /// The oldest so many.
    pub limit: Option<usize>,
}

impl DeadFilter {
    /// Whether it chooses by anything but a number of letters.
    pub fn is_empty(&self) -> bool {
        *self == Self { limit: self.limit, ..Self::default() }
    }

    /// Whether a letter is meant, apart from the limit.
    fn lets_through(&self, letter: &DeadLetter) -> bool {
        let field = |name: &str, wanted: &Option<String>| {
            let found = || letter.fields.get(name).and_then(Value::as_str);
            wanted.as_deref().is_none_or(|wanted| found() == Some(wanted))
        };
        let reason = self.reason.as_ref().map(|reason| reason.to_lowercase());
        let died = letter.id.parse::<EntryId>().ok().and_then(EntryId::appended_at);
        self.ids.as_ref().is_none_or(|ids| ids.iter().any(|id| id.to_string() == letter.id))
            && reason.is_none_or(|reason| letter.error.to_lowercase().contains(&reason))
            && field("type", &self.event_type)
            && field("key", &self.key)
            && self.group.as_ref().is_none_or(|group| *group == letter.group)
            && self.until.is_none_or(|until| died.is_some_and(|died| died < until))
    }
}

/// What became of a dead letter that was to be retried.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retried {
    /// It is back in its stream, under this id.
    As(String),
    /// It was gone already: somebody else retried or discarded it.
    Gone,
    /// It was too wide to be kept whole, so that it cannot be put back.
    NotWhole,
}

impl DeadLetters {
    /// The dead letters of `source`, a stream. Starts to connect.
    ///
    /// # Errors
    /// [`BadUrl`] if the address of Redis cannot be used.
    pub fn open(url: impl Into<SecretString>, source: impl Into<Source>) -> Result<Self, BadUrl> {
        let redis = Redis::open(&url.into(), "outflow-dead-letters")?;
        Ok(Self::with_connection(redis, source))
    }

    /// As [`DeadLetters::open`], over a connection of the caller's.
    pub fn with_connection(redis: Redis, source: impl Into<Source>) -> Self {
        let stream = source.into().dead_letter_stream(redis.is_cluster());
        Self { redis, stream, retry: Script::new(include_str!("retry.lua")) }
    }

    /// The stream that they are in.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Waits until the connection stands, at most `limit`.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn ready(&self, limit: std::time::Duration) -> Result<(), Failure> {
        self.redis.ready(limit).await
    }

    /// The dead letters that the filter chooses, the oldest first.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn list(&self, filter: &DeadFilter) -> Result<Vec<DeadLetter>, Failure> {
        let limit = filter.limit.unwrap_or(usize::MAX);
        let mut from = filter
            .since
            .map_or_else(|| "-".to_owned(), |since| since.as_millisecond().max(0).to_string());
        let mut found = Vec::new();
        loop {
            let mut args = Args::from([self.stream.as_str(), &from, "+", "COUNT"]);
            args.int(i64::try_from(PAGE).unwrap_or(i64::MAX));
            let reply = self.redis.call("XRANGE", args).await?;
            let page = reply.items();
            for entry in page {
                let letter = letter(entry).ok_or_else(|| {
                    Failure::Unknown("a reply to XRANGE of an unexpected form".to_owned())
                })?;
                from = format!("({}", letter.id);
                if filter.lets_through(&letter) && found.len() < limit {
                    found.push(letter);
                }
            }
            if page.len() < PAGE || found.len() >= limit {
                return Ok(found);
            }
        }
    }

    /// Puts one back at the end of its stream, after the later entries of its key. Every group of
    /// the stream gets it again: a group that has handled the event must know that, as with an
    /// [`Inbox`](super::Inbox).
    ///
    /// # Errors
    /// See [`Failure`]; also when the letter does not say where it came from.
    pub async fn retry(&self, letter: &DeadLetter) -> Result<Retried, Failure> {
        if letter.stream.is_empty() {
            return Err(Failure::Refused(format!(
                "entry {} does not say where it came from (dead_stream)",
                letter.id
            )));
        }
        self.put_back(&letter.id, &letter.stream).await
    }

    /// As [`DeadLetters::retry`], of one that is known by its id, and by where it came from.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn put_back(&self, id: &str, stream: &str) -> Result<Retried, Failure> {
        let keys = [self.stream.as_str(), stream];
        let reply = self.redis.script(&self.retry, &keys, [id].into()).await?;
        Ok(match reply.string() {
            None => Retried::Gone,
            Some(id) if id.is_empty() => Retried::NotWhole,
            Some(id) => Retried::As(id),
        })
    }

    /// Deletes one permanently. Returns whether it was there.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn discard(&self, letter: &DeadLetter) -> Result<bool, Failure> {
        self.delete(&[letter.id.as_str()]).await.map(|deleted| deleted == 1)
    }

    /// As [`DeadLetters::discard`], of some that are known by their ids, in one step. Returns how
    /// many were there.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn delete(&self, ids: &[&str]) -> Result<u64, Failure> {
        let args: Args = std::iter::once(self.stream.as_str()).chain(ids.iter().copied()).collect();
        let reply = self.redis.call("XDEL", args).await?;
        Ok(reply.int().unwrap_or(0).unsigned_abs())
    }
}

fn letter(entry: &Reply) -> Option<DeadLetter> {
    let [id, fields] = entry.items() else { return None };
    let mut letter = DeadLetter {
        id: id.string()?,
        died_at: None,
        stream: String::new(),
        entry_id: String::new(),
        group: String::new(),
        attempts: 0,
        error: String::new(),
        fields: Map::new(),
    };
    for pair in fields.items().chunks_exact(2) {
        let (name, value) = (pair[0].string()?, pair[1].string()?);
        match name.strip_prefix(ADDED) {
            None => drop(letter.fields.insert(name, value.into())),
            Some("at") => letter.died_at = value.parse().ok(),
            Some("stream") => letter.stream = value,
            Some("entry_id") => letter.entry_id = value,
            Some("group") => letter.group = value,
            Some("attempts") => letter.attempts = value.parse().unwrap_or_default(),
            Some("error") => letter.error = value,
            Some(_) => {}
        }
    }
    Some(letter)
}
