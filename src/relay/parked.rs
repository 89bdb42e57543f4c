//! Streams that claims leave out: those that refuse their events, which are tried again with
//! growing pauses, and those that somebody has paused, which are not. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pause::{Pause, Pauses};

/// First and longest pause before a parked stream is tried again.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// The streams that refused, until they take an event again.
#[derive(Debug, Default)]
pub(super) struct Parked {
    /// How long a stream may refuse before its events are given up; `None`: for ever.
    max: Option<Duration>,
    streams: BTreeMap<String, Stream>,
    /// What is paused; `None`: not learned yet.
    pauses: Option<Arc<Pauses>>,
    /// The streams of it.
    paused: BTreeSet<String>,
}

#[derive(Debug)]
struct Stream {
    /// When it refused first, without the time in which it could not be tried.
    since: Instant,
    /// When it was parked or looked at last.
    last: Instant,
    pause: Duration,
    /// When it may be tried again; `None` while it is being tried.
    until: Option<Instant>,
    /// It has refused for too long: what comes is given up, except for what tries it again.
    given_up: bool,
    /// An event is on its way to try it.
    probed: bool,
}

impl Stream {
    fn is_left_out(&self) -> bool {
        !self.given_up || self.until.is_none()
    }
}

/// What has changed with the time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Released {
    /// Rows that the cursor has passed are to be given up.
    pub(super) rewind: bool,
    /// Streams whose events are given up from here on.
    pub(super) given_up: Vec<String>,
}

/// How the pauses have changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Rows that the cursor has passed are to be claimed.
    pub(super) rewind: bool,
    /// Pauses that are new, or have another reason or end than before.
    pub(super) began: Vec<Pause>,
    /// Pauses that are over.
    pub(super) ended: Vec<Pause>,
}

impl Parked {
    pub(super) fn new(max: Option<Duration>) -> Self {
        Self { max, ..Self::default() }
    }

    /// This is paused from here on. `None`: as before.
    ///
    /// A parked stream that was paused is tried at once when it is resumed, and what it had refused
    /// before counts for nothing: the pause is there to mend it.
    pub(super) fn pause(&mut self, pauses: &Arc<Pauses>, now: Instant) -> Option<Change> {
        if self.pauses.as_ref().is_some_and(|known| Arc::ptr_eq(known, pauses)) {
            return None;
        }
        let known = self.pauses.replace(Arc::clone(pauses)).unwrap_or_default();
        let mut change = Change::default();
        let has = |of: &Pauses, pause: &Pause| of.all().contains(pause);
        let is_over = |pause: &Pause| match &pause.stream {
            Some(stream) => !pauses.has(stream),
            None => pauses.of_outbox().is_none(),
        };
        change.began.extend(pauses.all().iter().filter(|pause| !has(&known, pause)).cloned());
        change.ended.extend(known.all().iter().filter(|pause| is_over(pause)).cloned());
        self.paused = pauses.streams().map(str::to_owned).collect();
        for stream in change.ended.iter().filter_map(|pause| pause.stream.as_ref()) {
            change.rewind = true;
            if let Some(parked) = self.streams.get_mut(stream) {
                (parked.since, parked.until, parked.given_up) = (now, None, false);
            }
        }
        Some(change)
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
            Stream { since, last: now, pause, until: Some(now + pause), given_up, probed: false },
        );
        (pause, new)
    }

    /// It could not be tried: its first event cannot be claimed now. Returns the pause before it is
    /// looked at again; `None`: it is not parked, or is given up, and whatever comes tries it. That
    /// says nothing of the stream, and does not count as time in which it refused.
    pub(super) fn later(&mut self, stream: &str, now: Instant) -> Option<Duration> {
        let parked = self.streams.get_mut(stream).filter(|parked| !parked.given_up)?;
        parked.since += now.saturating_duration_since(parked.last);
        parked.last = now;
        parked.pause = (parked.pause * 2).min(PAUSE_MAX);
        parked.until = Some(now + parked.pause);
        Some(parked.pause)
    }

    /// Streams whose pause is over are tried again from here on, and those that have refused for
    /// too long are given up.
    pub(super) fn release(&mut self, now: Instant) -> Released {
        let mut released = Released::default();
        let paused = &self.paused;
        let others = self.streams.iter_mut().filter(|(name, _)| !paused.contains(*name));
        for (name, stream) in others {
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

    /// Somebody wants a parked stream tried now. Returns whether it is parked, and not being tried.
    pub(super) fn try_now(&mut self, stream: &str) -> bool {
        let parked = self.streams.get_mut(stream).filter(|parked| parked.until.is_some());
        parked.map(|parked| parked.until = None).is_some()
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
        let mut names = self.which(Stream::is_left_out);
        let parked = |name: &&String| self.streams.get(*name).is_some_and(Stream::is_left_out);
        names.extend(self.paused.iter().filter(|name| !parked(name)).cloned());
        names
    }

    /// Whether claims no longer leave out all of these.
    pub(super) fn has_let_go_of(&self, left_out: &[String]) -> bool {
        left_out.iter().any(|name| {
            let is_parked = self.streams.get(name).is_some_and(Stream::is_left_out);
            !is_parked && !self.paused.contains(name)
        })
    }

    /// The streams whose events go to the dead letters.
    pub(super) fn given_up(&self) -> Vec<String> {
        self.which(|stream| stream.given_up && stream.until.is_some())
    }

    /// The streams that are to be tried.
    pub(super) fn due(&self) -> Vec<String> {
        let mut due = self.which(|stream| stream.until.is_none() && !stream.probed);
        due.retain(|name| !self.paused.contains(name));
        due
    }

    /// An event is on its way to this stream.
    pub(super) fn probed(&mut self, stream: &str) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.probed = true;
        }
    }

    /// What was on its way to this stream did not come to it.
    pub(super) fn untried(&mut self, stream: &str) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.probed = false;
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

    fn pauses(streams: &[&str]) -> Arc<Pauses> {
        let pause = |stream: &&str| Pause {
            stream: Some((*stream).to_owned()).filter(|stream| !stream.is_empty()),
            why: "maintenance".to_owned(),
            since: jiff::Timestamp::UNIX_EPOCH,
            until: None,
            os_user: "ada".to_owned(),
            host: "here".to_owned(),
            role: "operator".to_owned(),
        };
        Arc::new(Pauses::new(streams.iter().map(pause).collect()))
    }

    #[test]
    fn a_paused_stream_is_left_out_and_rows_behind_the_cursor_are_looked_at_when_it_is_resumed() {
        let (mut parked, now) = (Parked::default(), Instant::now());
        let first = parked.pause(&pauses(&[]), now);
        assert_eq!(first, Some(Change::default()), "learned, and nothing is paused");
        let (ab, b) = (pauses(&["", "a", "b"]), pauses(&["b"]));
        let change = parked.pause(&ab, now).expect("a change");
        assert_eq!((change.rewind, change.began.len(), change.ended.len()), (false, 3, 0));
        assert_eq!(parked.pause(&ab, now), None, "as before");
        parked.park("b", now);
        let left_out = parked.names();
        assert_eq!(left_out, ["b", "a"], "each once");
        assert!(!parked.has_let_go_of(&left_out));
        let change = parked.pause(&b, now).expect("a change");
        assert_eq!((change.rewind, change.began.len(), change.ended.len()), (true, 0, 2));
        assert!(parked.has_let_go_of(&left_out), "of a");
        assert!(!parked.has_let_go_of(&["b".to_owned()]));
        let outbox = pauses(&["", "b"]);
        parked.pause(&outbox, now);
        assert!(!parked.pause(&b, now).expect("a change").rewind, "of an outbox nothing is left");
    }

    #[test]
    fn a_parked_stream_is_neither_tried_nor_given_up_while_it_is_paused() {
        let mut parked = Parked::new(Some(Duration::from_secs(5)));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        parked.park("a", at(0));
        parked.pause(&pauses(&["a"]), at(0));
        assert_eq!(parked.release(at(60)), Released::default());
        assert_eq!((parked.due(), parked.names()), (vec![], vec!["a".to_owned()]));
        parked.pause(&pauses(&[]), at(60));
        assert_eq!(parked.release(at(61)), Released::default(), "the time counts from here on");
        assert_eq!(parked.due(), ["a"], "at once");
        assert_eq!(parked.names(), ["a"], "by itself");
        parked.park("a", at(61));
        assert_eq!(parked.release(at(64)).given_up, [""; 0]);
        parked.park("a", at(64));
        assert_eq!(parked.release(at(65)).given_up, ["a"]);
        parked.pause(&pauses(&["a"]), at(66));
        assert_eq!(parked.names(), ["a"], "nothing more is given up");
        parked.pause(&pauses(&[]), at(67));
        assert_eq!((parked.due(), parked.given_up()), (vec!["a".to_owned()], vec![]));
    }

    #[test]
    fn a_stream_is_tried_by_one_event_at_a_time_until_one_comes_to_it() {
        let (mut parked, now) = (Parked::default(), Instant::now());
        parked.park("a", now);
        parked.release(now + PAUSE_MIN);
        assert_eq!(parked.due(), ["a"]);
        parked.probed("a");
        assert_eq!(parked.due(), [""; 0], "one is on its way");
        parked.untried("a");
        assert_eq!((parked.due(), parked.names()), (vec!["a".to_owned()], vec!["a".to_owned()]));
        parked.untried("another");
        assert_eq!(parked.len(), 1);
    }

    #[test]
    fn a_parked_stream_is_tried_at_once_if_somebody_asks_and_it_is_not_paused() {
        let (mut parked, now) = (Parked::default(), Instant::now());
        assert!(!parked.try_now("a"), "it is not parked");
        parked.park("a", now);
        parked.pause(&pauses(&["a"]), now);
        assert!(parked.try_now("a"));
        assert_eq!(parked.due(), [""; 0], "paused");
        parked.pause(&pauses(&[]), now);
        assert_eq!((parked.due(), parked.names()), (vec!["a".to_owned()], vec!["a".to_owned()]));
        assert!(!parked.try_now("a"), "it is being tried");
        assert_eq!(parked.park("a", now), (PAUSE_MIN * 2, false), "refused again");
    }

    /// What cannot be claimed says nothing of the stream.
    #[test]
    fn time_in_which_a_stream_cannot_be_tried_does_not_count() {
        let mut parked = Parked::new(Some(Duration::from_secs(100)));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        parked.park("a", at(0));
        for (seconds, pause) in [(1, 2), (3, 4), (7, 8), (15, 16), (500, 32)] {
            assert!(parked.release(at(seconds)).given_up.is_empty());
            assert_eq!(parked.due(), ["a"]);
            assert_eq!(parked.later("a", at(seconds)), Some(Duration::from_secs(pause)));
            assert_eq!((parked.due(), parked.names()), (vec![], vec!["a".to_owned()]));
        }
        parked.park("a", at(532));
        assert!(parked.release(at(599)).given_up.is_empty(), "it has refused for 32 s");
        assert_eq!(parked.release(at(600)).given_up, ["a"]);
        assert_eq!(parked.later("a", at(700)), None, "whatever comes tries it");
        assert_eq!((parked.later("b", at(700)), parked.len()), (None, 1));
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
