//! Whether a consumer can work, and if not, why: for the readiness probe, and for one log line a
//! change.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

/// What a consumer depends on. Redis is reached by several connections, which neither fail nor come
/// back at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Redis, by the connection for commands, and the group in it.
    Commands,
    /// Redis, as the reader of this stream finds it.
    Reader(usize),
    /// Redis, as whoever shows that we live finds it, on this stream.
    Presence(usize),
    /// Whatever the handler needs, as attempts find it.
    Handler,
    /// The same, as it is asked from time to time.
    Probe,
    /// Our name in the group of this stream.
    Name(usize),
}

/// What is known of a consumer's dependencies. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    redis_was_tried: bool,
    /// What does not work, and why.
    down: BTreeMap<Part, String>,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Commands | Self::Reader(_) | Self::Presence(_) => "Redis",
            Self::Handler | Self::Probe => "handler",
            Self::Name(_) => "name",
        }
    }
}

impl Known {
    fn is_down(&self, name: &str) -> bool {
        self.down.keys().any(|part| part.name() == name)
    }
}

impl Health {
    /// Why entries cannot be handled; empty when they can be. A pause is no such cause, see
    /// [`Control`](super::Control).
    pub fn causes(&self) -> Vec<String> {
        let known = self.known();
        let untried = (!known.redis_was_tried).then(|| "Redis: not reached yet".to_owned());
        let mut named = BTreeMap::new();
        for (part, cause) in &known.down {
            named.entry(part.name()).or_insert(cause);
        }
        untried
            .into_iter()
            .chain(named.into_iter().map(|(name, cause)| format!("{name}: {cause}")))
            .collect()
    }

    /// Notes that Redis was reached, by whoever asks nothing more of it.
    pub(super) fn reached(&self) {
        if !std::mem::replace(&mut self.known().redis_was_tried, true) {
            tracing::info!(part = "Redis", "available");
        }
    }

    /// Notes that a part works. Logged when nothing of that name is down any more.
    pub(super) fn up(&self, part: Part) {
        let (name, mut known) = (part.name(), self.known());
        let first = name == "Redis" && !std::mem::replace(&mut known.redis_was_tried, true);
        let was_down = known.down.remove(&part).is_some();
        if first || (was_down && !known.is_down(name)) {
            tracing::info!(part = %name, "available");
        }
    }

    /// Notes that a part does not work. Logged once an outage: its cause may change with every try.
    pub(super) fn down(&self, part: Part, cause: &str) {
        let (name, mut known) = (part.name(), self.known());
        known.redis_was_tried |= name == "Redis";
        let was_down = known.is_down(name);
        known.down.insert(part, cause.to_owned());
        if was_down {
            tracing::debug!(part = %name, cause, "still not available");
        } else {
            tracing::warn!(part = %name, cause, "not available; trying until it is");
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_is_back_when_every_connection_is() {
        let health = Health::default();
        assert_eq!(health.causes(), ["Redis: not reached yet"]);
        health.up(Part::Reader(0));
        assert!(health.causes().is_empty());
        health.down(Part::Reader(1), "refused");
        health.down(Part::Commands, "cut");
        assert_eq!(health.causes(), ["Redis: cut"], "one line for one server");
        health.up(Part::Commands);
        assert_eq!(health.causes(), ["Redis: refused"]);
        health.down(Part::Handler, "no Postgres");
        health.up(Part::Reader(1));
        assert_eq!(health.causes(), ["handler: no Postgres"]);
        health.up(Part::Handler);
        assert!(health.causes().is_empty());
    }
}
