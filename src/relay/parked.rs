//! Streams that refuse their events: left out of the claims, tried again with growing pauses. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// First and longest pause before a parked stream is tried again.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// The streams that refused, until they take an event again.
#[derive(Debug, Default)]
pub(super) struct Parked {
    /// How long a stream may refuse before its events are given up; `None`: for ever.
    max: Option<Duration>,
    streams: BTreeMap<String, Stream>,
}

#[derive(Debug)]
struct Stream {
    /// When it refused first.
    since: Instant,
    pause: Duration,
    /// When it may be tried again; `None` while it is being tried.
    until: Option<Instant>,
    /// It has refused for too long: what comes is given up, except for what tries it again.
    given_up: bool,
    /// An event is on its way to try it.
    probed: bool,
}

/// What has changed with the time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Released {
    /// Rows that the cursor has passed are to be given up.
    pub(super) rewind: bool,
    /// Streams whose events are given up from here on.
    pub(super) given_up: Vec<String>,
}

impl Parked {
    pub(super) fn new(max: Option<Duration>) -> Self {
        Self { max, streams: BTreeMap::new() }
    }

    /// A stream refused. Returns the pause before it is tried again, and whether it was parked just
    /// now.
    pub(super) fn park(&mut self, stream: &str, now: Instant) -> (Duration, bool) {
        let known = self.streams.get(stream);
        let pause = known.map_or(PAUSE_MIN, |known| (known.pause * 2).min(PAUSE_MAX));
        let (new, since) = (known.is_none(), known.map_or(now, |known| known.since));
        let given_up = known.is_some_and(|known| known.given_up);
        self.streams.insert(
            stream.to_owned(),
            Stream { since, pause, until: Some(now + pause), given_up, probed: false },
        );
        (pause, new)
    }

    /// Streams whose pause is over are tried again from here on, and those that have refused for
    /// too long are given up.
    pub(super) fn release(&mut self, now: Instant) -> Released {
        let mut released = Released::default();
        for (name, stream) in &mut self.streams {
            if stream.until.is_some_and(|until| until <= now) {
                stream.until = None;
            } else if !stream.given_up
                && self.max.is_some_and(|max| now.duration_since(stream.since) >= max)
            {
                stream.given_up = true;
                released.rewind = true;
                released.given_up.push(name.clone());
            }
        }
        released
    }

    /// Streams that took their events are as any other again. Returns those that had been parked.
    pub(super) fn took<'a>(&mut self, streams: impl Iterator<Item = &'a str>) -> Vec<String> {
        if self.streams.is_empty() {
            return Vec::new();
        }
        streams.filter(|stream| self.streams.remove(*stream).is_some()).map(str::to_owned).collect()
    }

    /// The streams that claims leave out, those that are tried among them: an event by itself tries
    /// them.
    pub(super) fn names(&self) -> Vec<String> {
        self.which(|stream| !stream.given_up || stream.until.is_none())
    }

    /// Whether claims no longer leave out all of these.
    pub(super) fn has_let_go_of(&self, left_out: &[String]) -> bool {
        let names = self.names();
        left_out.iter().any(|stream| !names.contains(stream))
    }

    /// The streams whose events go to the dead letters.
    pub(super) fn given_up(&self) -> Vec<String> {
        self.which(|stream| stream.given_up && stream.until.is_some())
    }

    /// The streams that are to be tried.
    pub(super) fn due(&self) -> Vec<String> {
        self.which(|stream| stream.until.is_none() && !stream.probed)
    }

    /// An event is on its way to this stream.
    pub(super) fn probed(&mut self, stream: &str) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.probed = true;
        }
    }

    /// Nothing is on its way any more.
    pub(super) fn calm(&mut self) {
        self.streams.values_mut().for_each(|stream| stream.probed = false);
    }

    /// No event is there to try it with: it is as any other again, unless its events are given up
    /// until one is taken. Returns whether it is.
    pub(super) fn nothing_waits(&mut self, stream: &str) -> bool {
        let is_over = self.streams.get(stream).is_some_and(|stream| !stream.given_up);
        is_over && self.streams.remove(stream).is_some()
    }

    /// How many there are, those being tried again included.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    fn which(&self, is_meant: impl Fn(&Stream) -> bool) -> Vec<String> {
        self.streams
            .iter()
            .filter(|(_, stream)| is_meant(stream))
            .map(|(name, _)| name.clone())
            .collect()
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
            parked.release(now);
            assert!(parked.due().is_empty(), "not before its pause is over");
            now += pause;
            parked.release(now);
            assert_eq!(
                (parked.due(), parked.names()),
                (vec!["a".to_owned()], vec!["a".to_owned()]),
                "tried by itself"
            );
            parked.probed("a");
            assert!(parked.due().is_empty(), "once");
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(parked.took(["a", "b"].into_iter()), ["a"]);
        assert_eq!((parked.len(), parked.park("a", now)), (0, (PAUSE_MIN, true)));
    }

    #[test]
    fn a_stream_is_given_up_in_time_and_tried_all_the_same() {
        let mut parked = Parked::new(Some(Duration::from_secs(5)));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        parked.park("a", at(0));
        parked.release(at(1));
        assert_eq!(parked.due(), ["a"], "its first pause is over");
        parked.park("a", at(1));
        parked.release(at(3));
        parked.park("a", at(3));
        assert_eq!((parked.names(), parked.given_up()), (vec!["a".to_owned()], vec![]));
        assert_eq!(
            parked.release(at(5)),
            Released { rewind: true, given_up: vec!["a".to_owned()] }
        );
        assert_eq!(parked.release(at(6)), Released::default());
        assert_eq!((parked.names(), parked.given_up()), (vec![], vec!["a".to_owned()]));
        parked.release(at(7));
        assert!(parked.given_up().is_empty(), "what comes now tries it");
        assert_eq!((parked.due(), parked.names()), (vec!["a".to_owned()], vec!["a".to_owned()]));
        assert!(!parked.nothing_waits("a"), "until something comes");
        parked.park("a", at(7));
        assert_eq!(parked.given_up(), ["a"]);
        assert_eq!(parked.took(["a"].into_iter()), ["a"]);
        assert!(parked.park("a", at(8)).1, "from the beginning");
        assert_eq!((parked.names(), parked.given_up()), (vec!["a".to_owned()], vec![]));
    }
}
