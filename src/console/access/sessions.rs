//! Who is logged in. Sessions live in this process's memory: a restart ends them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::secret::{Key, Tag, random_id};
use outflow_core::fault::Fault;

/// Of one token. Whoever has stolen one ends no session of another token with it.
const OF_TOKEN_MAX: usize = 20;
/// Each log-in needs a token, and there are 100 at most: this is only a bound on memory, should
/// they be changed again and again.
const SESSIONS_MAX: usize = 2_500;

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
        let is_of = |session: &Session| session.name == name && session.token == token;
        let is_full = all.values().filter(|session| is_of(session)).count() >= OF_TOKEN_MAX;
        if is_full || all.len() >= SESSIONS_MAX {
            let leaving = all.iter().filter(|(_, session)| !is_full || is_of(session));
            let oldest = leaving.min_by_key(|(_, session)| session.seen).map(|(tag, _)| *tag);
            if let Some(oldest) = oldest {
                all.remove(&oldest);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Lifetime =
        Lifetime { idle: Duration::from_mins(1), most: Duration::from_mins(1) };

    #[test]
    fn a_token_has_so_many_sessions_and_ends_none_of_another() {
        let sessions = Sessions::new(Arc::new(Key::new().expect("a key")));
        let begin = |name: &str, tag: u8| {
            let id = sessions.begin(name.to_owned(), [tag; 32], LIFETIME).expect("a session");
            sessions.tag(&id)
        };
        let is_there = |tag: &Tag| sessions.find(tag, LIFETIME, false).is_some();
        let anna = begin("anna", 1);
        let first = begin("ben", 2);
        let others: Vec<Tag> = (0..OF_TOKEN_MAX).map(|_| begin("ben", 2)).collect();
        assert!(!is_there(&first), "his oldest one has ended");
        assert!(is_there(&anna) && others.iter().all(is_there));
        assert_eq!(sessions.all.lock().len(), OF_TOKEN_MAX + 1);
        // Tokens that were changed leave sessions behind until somebody asks for them.
        for tag in 0..=255 {
            for _ in 0..OF_TOKEN_MAX {
                begin("eve", tag);
            }
        }
        assert_eq!(sessions.all.lock().len(), SESSIONS_MAX);
    }
}
