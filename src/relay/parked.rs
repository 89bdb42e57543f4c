//! Streams that refuse their events: left out of the claims, tried again with growing pauses. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// First and longest pause before a parked stream is tried again.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// The streams that refused, until they take an event again.
#[derive(Debug, Default)]
pub(super) struct Parked {
    streams: BTreeMap<String, Stream>,
}

#[derive(Debug)]
struct Stream {
    pause: Duration,
    /// When it may be tried again; `None` while it is being tried.
    until: Option<Instant>,
}

impl Parked {
    /// A stream refused. Returns the pause before it is tried again, and whether it was parked just now.
    pub(super) fn park(&mut self, stream: &str, now: Instant) -> (Duration, bool) {
        let known = self.streams.get(stream);
        let pause = known.map_or(PAUSE_MIN, |known| (known.pause * 2).min(PAUSE_MAX));
        let new = known.is_none();
        self.streams.insert(stream.to_owned(), Stream { pause, until: Some(now + pause) });
        (pause, new)
    }

    /// Streams whose pause is over are tried again from here on; whether there is one, so that its rows, which the
    /// cursor has passed, are looked for.
    pub(super) fn release(&mut self, now: Instant) -> bool {
        let mut released = false;
        for stream in self.streams.values_mut() {
            if stream.until.is_some_and(|until| until <= now) {
                stream.until = None;
                released = true;
            }
        }
        released
    }

    /// Streams that took their events are as any other again. Returns those that had been parked.
    pub(super) fn took(&mut self, streams: &[String]) -> Vec<String> {
        if self.streams.is_empty() {
            return Vec::new();
        }
        streams.iter().filter(|stream| self.streams.remove(*stream).is_some()).cloned().collect()
    }

    /// The streams that claims leave out.
    pub(super) fn names(&self) -> Vec<String> {
        self.streams.iter().filter(|(_, stream)| stream.until.is_some()).map(|(name, _)| name.clone()).collect()
    }

    /// How many there are, those being tried again included.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_the_stream_takes_an_event() {
        let mut parked = Parked::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let (pause, _) = parked.park("a", now);
            pauses.push(pause.as_secs());
            assert_eq!(parked.names(), ["a"]);
            assert!(!parked.release(now), "not before its pause is over");
            now += pause;
            assert!(parked.release(now));
            assert!(parked.names().is_empty(), "it is being tried");
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(parked.took(&["a".to_owned(), "b".to_owned()]), ["a"]);
        assert_eq!((parked.len(), parked.park("a", now)), (0, (PAUSE_MIN, true)));
    }
}
