//! A session of the pool that is closed, not given back, when its user is cut short in the middle
//! of something: by a timeout, or by a future that is dropped.

use std::ops::Deref;

use deadpool_postgres::Object;

/// Holds a session until it is [released](Lease::release).
pub(super) struct Lease(Option<Object>);

impl Lease {
    pub(super) fn new(client: Object) -> Self {
        Self(Some(client))
    }

    /// It is at rest, or somebody else looks after it.
    pub(super) fn release(mut self) -> Object {
        self.0.take().expect("released once")
    }
}

impl Deref for Lease {
    type Target = Object;

    fn deref(&self) -> &Object {
        self.0.as_ref().expect("not released")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Object::take(client));
        }
    }
}
