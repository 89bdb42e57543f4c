//! Whether a consumer can work, and if not, why: for the readiness probe, and for one log line a change.

use std::sync::{Arc, Mutex, PoisonError};

/// What a consumer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Redis, and the group in it.
    Redis,
    /// Whatever the handler needs.
    Handler,
}

/// What is known of a consumer's dependencies. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Health(Arc<Mutex<Causes>>);

#[derive(Debug)]
struct Causes {
    redis: Option<String>,
    handler: Option<String>,
}

/// The cause before anything was tried.
const NOT_TRIED: &str = "not reached yet";

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Causes { redis: Some(NOT_TRIED.to_owned()), handler: None })))
    }
}

impl Health {
    /// Why entries are not being handled; empty when they are.
    pub fn causes(&self) -> Vec<String> {
        let causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let named = [("Redis", &causes.redis), ("handler", &causes.handler)];
        named.iter().filter_map(|(part, cause)| cause.as_ref().map(|cause| format!("{part}: {cause}"))).collect()
    }

    /// Notes that a part works. Logged if it did not before.
    pub(super) fn up(&self, part: Part) {
        if self.replace(part, None).is_some() {
            tracing::info!(?part, "available");
        }
    }

    /// Notes that a part does not work. Logged once an outage: its cause may change with every try.
    pub(super) fn down(&self, part: Part, cause: &str) {
        match self.replace(part, Some(cause.to_owned())).as_deref() {
            None | Some(NOT_TRIED) => tracing::warn!(?part, cause, "not available; trying until it is"),
            Some(_known) => tracing::debug!(?part, cause, "still not available"),
        }
    }

    fn replace(&self, part: Part, cause: Option<String>) -> Option<String> {
        let mut causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match part {
            Part::Redis => &mut causes.redis,
            Part::Handler => &mut causes.handler,
        };
        std::mem::replace(slot, cause)
    }
}
