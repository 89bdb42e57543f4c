//! Places that are few: who has one, gives it back when it is dropped. Nobody can take all of them.

use std::sync::Arc;

use parking_lot::Mutex;

use super::access::{By, Viewer};

/// How many there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For everybody together.
    pub(super) all: usize,
    /// For one token, one user of a proxy, or all who have no name.
    pub(super) name: usize,
    /// For one session.
    pub(super) session: usize,
}

/// Whose place it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Taken {
    name: String,
    by: By,
}

/// All of them.
pub(super) struct Places {
    limits: Limits,
    taken: Arc<Mutex<Vec<Taken>>>,
}

/// One of them, for as long as it lives.
pub(super) struct Place {
    own: Taken,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl Places {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, taken: Arc::default() }
    }

    /// `None`: there is none for this viewer now.
    pub(super) fn take(&self, viewer: &Viewer) -> Option<Place> {
        let own = Taken { name: viewer.name.clone(), by: viewer.by.clone() };
        let Limits { all, name, session } = self.limits;
        let mut taken = self.taken.lock();
        let is_of_session = |one: &&Taken| matches!(one.by, By::Session(_)) && one.by == own.by;
        let is_full = taken.len() >= all
            || taken.iter().filter(|one| one.name == own.name).count() >= name
            || taken.iter().filter(is_of_session).count() >= session;
        if is_full {
            return None;
        }
        taken.push(own.clone());
        Some(Place { own, taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        if let Some(at) = taken.iter().position(|one| *one == self.own) {
            taken.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;

    fn viewer(name: &str, by: By) -> Viewer {
        let (csrf, said) = (String::new(), None);
        Viewer { name: name.to_owned(), role: Role::Read, sees_payloads: true, csrf, by, said }
    }

    #[test]
    fn nobody_takes_all_and_each_is_given_back() {
        let places = Places::new(Limits { all: 6, name: 4, session: 2 });
        let of = |name: &str, session: u8| places.take(&viewer(name, By::Session([session; 32])));
        let first: Vec<Place> = (0..3).filter_map(|_| of("anna", 1)).collect();
        assert_eq!(first.len(), 2, "of a session");
        let more: Vec<Place> = (2..9).filter_map(|session| of("anna", session)).collect();
        assert_eq!(more.len(), 2, "of a name");
        let users: Vec<Place> =
            (0..9).filter_map(|n| places.take(&viewer(&n.to_string(), By::Proxy))).collect();
        assert_eq!(users.len(), 2, "of all");
        drop(first);
        assert!(of("ben", 1).is_some() && of("anna", 1).is_some());
        drop((more, users));
        assert!(places.taken.lock().is_empty());
        let nobody: Vec<Place> =
            (0..9).filter_map(|_| places.take(&viewer("anonymous", By::Anyone))).collect();
        assert_eq!(nobody.len(), 4);
    }
}
