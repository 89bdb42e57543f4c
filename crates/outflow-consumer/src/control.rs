//! A handle on a consumer that runs: pauses and resumes it, and knows how far its group is behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::observer::GroupState;

/// How long the state of a group counts. Measured three times as often.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(15);

/// A handle on a consumer: [`Consumer::control`](super::Consumer::control). Cloning shares it.
///
/// # A paused consumer
/// - It reads nothing, takes nothing over from other consumers, and starts no attempt. Attempts
///   that are running finish, and their entries are acknowledged, retried or dead-lettered as ever.
/// - What it has read and not begun stays with it. It keeps sending heartbeats, so other consumers
///   do not take these entries over, however long the pause is. It continues with them when it is
///   resumed, in order.
/// - The other consumers of the group go on. A key of which it holds an entry waits for it: the
///   key's later entries pile up in its pending list. The group reads nothing new once
///   [`pending_max`](super::SettingsBuilder::pending_max) entries are pending. If other consumers
///   should have these keys, stop the consumer instead of pausing it: a stop gives its entries
///   back.
/// - [`Health`](super::Health) does not report the pause: a paused consumer is ready to work.
///   It still reports whether Redis and the handler's servers answer.
/// - A stop works as ever.
///
/// A pause lasts until [`Control::resume`] or the end of the process. A consumer that is paused
/// before [`Consumer::run`](super::Consumer::run) starts paused: it takes its name in the group and
/// reads nothing.
///
/// ```
/// # use outflow_consumer::{BoxError, Control};
/// async fn maintain(consumer: &Control) -> Result<(), BoxError> {
///     consumer.pause();
///     if consumer.drained().await {
///         // Nothing is being handled now.
///     }
///     consumer.resume();
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Control(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    is_paused: watch::Sender<bool>,
    activity: watch::Sender<Activity>,
    groups: Mutex<Vec<Group>>,
}

/// What is going on. Whoever begins something says so first, and looks then whether the consumer is
/// paused: whoever pauses it and sees nothing here knows that nothing begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Activity {
    /// Reads and take-overs.
    reads: usize,
    is_handling: bool,
}

/// The group on one stream, as it was last measured.
#[derive(Debug)]
struct Group {
    stream: String,
    measured: Option<(Instant, GroupState)>,
}

/// Something is being read. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Reading<'a>(&'a Shared);

impl Control {
    pub(super) fn new<'a>(streams: impl Iterator<Item = &'a str>) -> Self {
        let groups = streams.map(|stream| Group { stream: stream.to_owned(), measured: None });
        Self(Arc::new(Shared {
            is_paused: watch::Sender::new(false),
            activity: watch::Sender::default(),
            groups: Mutex::new(groups.collect()),
        }))
    }

    /// Pauses the consumer. Returns at once: what is under way finishes, see [`Control::drained`].
    pub fn pause(&self) {
        self.0.is_paused.send_if_modified(|is_paused| !std::mem::replace(is_paused, true));
    }

    /// Resumes the consumer.
    pub fn resume(&self) {
        self.0.is_paused.send_if_modified(|is_paused| std::mem::replace(is_paused, false));
    }

    /// Whether the consumer is paused.
    pub fn is_paused(&self) -> bool {
        *self.0.is_paused.borrow()
    }

    /// Waits until a paused consumer has finished what was under way: nothing is read or handled
    /// any more, and what was handled is acknowledged. As long as Redis or what the handler needs
    /// is away, that may take as long as the outage.
    ///
    /// Returns `false` if the consumer is not paused, or is resumed meanwhile.
    pub async fn drained(&self) -> bool {
        let (mut is_paused, mut activity) =
            (self.0.is_paused.subscribe(), self.0.activity.subscribe());
        tokio::select! {
            biased;
            _ = is_paused.wait_for(|is_paused| !is_paused) => false,
            _ = activity.wait_for(|activity| *activity == Activity::default()) => true,
        }
    }

    /// The number of entries that the group has not read, over all streams of the consumer. `None`:
    /// not known, see [`GroupState::lag`] and [`Control::group`].
    pub fn lag(&self) -> Option<u64> {
        let groups = self.0.groups.lock();
        groups.iter().map(|group| group.state(Instant::now())?.lag).sum()
    }

    /// The state of the group on a stream. A consumer that runs, paused or not, asks Redis for it
    /// every five seconds; this is the last answer, so that asking costs nothing.
    ///
    /// `None`: not known, because there was no answer in the last 15 seconds, the consumer does not
    /// run or is on standby, or `stream` is none of its streams.
    pub fn group(&self, stream: &str) -> Option<GroupState> {
        let groups = self.0.groups.lock();
        groups.iter().find(|group| group.stream == stream)?.state(Instant::now())
    }

    /// Notes the state of the group on a stream, given by its number.
    pub(super) fn measured(&self, stream: usize, state: GroupState) {
        if let Some(group) = self.0.groups.lock().get_mut(stream) {
            group.measured = Some((Instant::now(), state));
        }
    }

    /// Begins a read, unless the consumer is paused.
    pub(super) fn read(&self) -> Option<Reading<'_>> {
        self.0.activity.send_if_modified(|activity| {
            activity.reads += 1;
            false
        });
        let reading = Reading(&self.0);
        (!self.is_paused()).then_some(reading)
    }

    /// Begins to start attempts, unless the consumer is paused. Ends with [`Control::handling`].
    pub(super) fn handle(&self) -> bool {
        self.0.activity.send_if_modified(|activity| {
            activity.is_handling = true;
            false
        });
        !self.is_paused()
    }

    /// Notes whether anything is being handled, acknowledgements included.
    pub(super) fn handling(&self, is_handling: bool) {
        self.0.activity.send_if_modified(|activity| {
            activity.is_handling = is_handling;
            !is_handling
        });
    }

    /// Tells of each pause and each resumption.
    pub(super) fn pauses(&self) -> watch::Receiver<bool> {
        self.0.is_paused.subscribe()
    }

    /// Waits until the consumer is paused, or not.
    pub(super) async fn until_paused(&self, is_paused: bool) {
        // The sender is ours: it is not closed meanwhile.
        let _ = self.pauses().wait_for(|now| *now == is_paused).await;
    }
}

impl Group {
    fn state(&self, now: Instant) -> Option<GroupState> {
        let (at, state) = self.measured?;
        (now.saturating_duration_since(at) <= KNOWN_FOR).then_some(state)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.activity.send_modify(|activity| activity.reads -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::{Control, Group, GroupState, Instant, KNOWN_FOR};

    #[test]
    fn a_pause_has_drained_when_what_began_before_it_has_ended() {
        let control = Control::new(["a"].into_iter());
        assert_eq!(control.drained().now_or_never(), Some(false), "not paused");
        let reading = control.read().expect("not paused");
        assert!(control.handle());
        control.pause();
        assert!(control.is_paused() && control.read().is_none() && !control.handle());
        let mut drained = Box::pin(control.drained());
        assert_eq!(drained.as_mut().now_or_never(), None);
        drop(reading);
        assert_eq!(drained.as_mut().now_or_never(), None, "still handling");
        control.handling(false);
        assert_eq!(drained.now_or_never(), Some(true));
        control.resume();
        assert!(!control.is_paused() && control.read().is_some());
        assert_eq!(control.drained().now_or_never(), Some(false));
    }

    #[test]
    fn the_lag_is_that_of_all_streams_and_unknown_if_one_is() {
        let control = Control::new(["a", "b"].into_iter());
        let state = |lag| GroupState { lag, ..GroupState::default() };
        assert_eq!((control.lag(), control.group("a")), (None, None), "nothing was measured");
        control.measured(0, state(Some(3)));
        assert_eq!((control.lag(), control.group("a")), (None, Some(state(Some(3)))));
        control.measured(1, state(Some(4)));
        assert_eq!((control.lag(), control.group("c")), (Some(7), None));
        control.measured(0, state(None));
        assert_eq!((control.lag(), control.group("a")), (None, Some(state(None))));
    }

    #[test]
    fn what_was_measured_long_ago_is_not_known() {
        let (at, state) = (Instant::now(), GroupState::default());
        let group = Group { stream: "a".to_owned(), measured: Some((at, state)) };
        assert_eq!(group.state(at + KNOWN_FOR), Some(state));
        assert_eq!(group.state(at + 2 * KNOWN_FOR), None);
    }
}
