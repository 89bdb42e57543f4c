//! Who is logged in. Sessions live in this process's memory: a restart ends them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::secret::{Key, Tag, random_id};
use outflow_core::fault::Fault;

/// Each log-in needs a token, so this is only a bound on memory.
const SESSIONS_MAX: usize = 1_000;

/// A session.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// Whose token.
    pub(super) name: String,
    /// The token that it was begun with.
    pub(super) token: Tag,
    /// What its forms carry.
    pub(super) csrf: String,
    started: Instant,
    seen: Instant,
}

/// How long sessions last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetime {
    pub(super) idle: Duration,
    pub(super) most: Duration,
}

impl Session {
    fn has_ended(&self, lifetime: Lifetime) -> bool {
        self.seen.elapsed() > lifetime.idle || self.started.elapsed() > lifetime.most
    }
}

/// By the tags of their ids: the ids themselves are only in the browsers.
pub(super) struct Sessions {
    key: Arc<Key>,
    all: Mutex<HashMap<Tag, Session>>,
}

impl Sessions {
    pub(super) fn new(key: Arc<Key>) -> Self {
        Self { key, all: Mutex::default() }
    }

    /// Begins one. Returns its id.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn begin(
        &self,
        name: String,
        token: Tag,
        lifetime: Lifetime,
    ) -> Result<String, Fault> {
        let (id, csrf, now) = (random_id()?, random_id()?, Instant::now());
        let mut all = self.all.lock();
        if all.len() >= SESSIONS_MAX {
            all.retain(|_, session| !session.has_ended(lifetime));
        }
        if all.len() >= SESSIONS_MAX
            && let Some(oldest) =
                all.iter().min_by_key(|(_, session)| session.seen).map(|(tag, _)| *tag)
        {
            all.remove(&oldest);
        }
        all.insert(
            self.key.tag(id.as_bytes()),
            Session { name, token, csrf, started: now, seen: now },
        );
        Ok(id)
    }

    /// The tag that an id is known by.
    pub(super) fn tag(&self, id: &str) -> Tag {
        self.key.tag(id.as_bytes())
    }

    /// The session, if it has not ended. `touch`: it is used now.
    pub(super) fn find(&self, tag: &Tag, lifetime: Lifetime, touch: bool) -> Option<Session> {
        let mut all = self.all.lock();
        if all.get(tag)?.has_ended(lifetime) {
            all.remove(tag);
            return None;
        }
        let session = all.get_mut(tag)?;
        if touch {
            session.seen = Instant::now();
        }
        Some(session.clone())
    }

    pub(super) fn end(&self, tag: &Tag) {
        self.all.lock().remove(tag);
    }
}
