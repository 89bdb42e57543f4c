//! Backoff that grow and that a stop cuts short, and commands repeated until Redis answers.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

use super::health::Part;
use super::lifecycle::Lifecycle;
use outflow_connect::redis::Failure;

/// Between attempts to reach a server that is away. Short at the longest: nothing else can be done
/// meanwhile.
const OUTAGE_FIRST: Duration = Duration::from_millis(50);
const OUTAGE_LONGEST: Duration = Duration::from_secs(2);

/// Why work on an entry ended before the entry was done with. It is still pending, or will be
/// delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interrupted {
    /// A stop was asked for.
    Stopped,
    /// The group or the stream does not exist any more.
    GroupGone,
    /// Another process has our name.
    Displaced,
}

/// Backoff that double from `first` to `longest`, with jitter, without end.
pub(super) struct Backoff {
    delays: ExponentialBackoff,
    longest: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        let longest = longest.max(first);
        let builder = ExponentialBuilder::new()
            .with_min_delay(first)
            .with_max_delay(longest)
            .without_max_times();
        Self { delays: builder.with_jitter().build(), longest }
    }

    /// Backoff while a server is away.
    pub(super) fn for_outage() -> Self {
        Self::new(OUTAGE_FIRST, OUTAGE_LONGEST)
    }

    /// A pause before attempt number `attempt + 1`, drawn from the half below what doubling `first`
    /// gives.
    pub(super) fn before_next(attempt: u32, first: Duration, longest: Duration) -> Duration {
        let factor = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let most = first.saturating_mul(factor).min(longest.max(first));
        Self::between(most / 2, most)
    }

    /// Any time between two.
    pub(super) fn between(least: Duration, most: Duration) -> Duration {
        least + most.saturating_sub(least).mul_f64(fastrand::f64())
    }

    /// How long the next pause is.
    pub(super) fn next(&mut self) -> Duration {
        self.delays.next().unwrap_or(self.longest)
    }

    /// Waits for the next pause to pass.
    ///
    /// # Errors
    /// [`Interrupted::Stopped`] when a stop was asked for before or meanwhile.
    pub(super) async fn pause(&mut self, stop: &CancellationToken) -> Result<(), Interrupted> {
        let delay = self.next();
        match tokio::time::timeout(delay, stop.cancelled()).await {
            Ok(()) => Err(Interrupted::Stopped),
            Err(_elapsed) => Ok(()),
        }
    }
}

/// Sends a command until Redis has answered it. It must not matter how often it is carried out.
///
/// A refusal is waited out as well (OOM, READONLY, LOADING, a missing privilege): the entry is not
/// to blame. Refused credentials end the run (lifecycle.rs).
///
/// # Errors
/// [`Interrupted`], after at least one try.
pub(super) async fn until_answered<T, F: Future<Output = Result<T, Failure>>>(
    lifecycle: &Lifecycle,
    mut send: impl FnMut() -> F,
) -> Result<T, Interrupted> {
    let mut pauses = Backoff::for_outage();
    loop {
        match send().await {
            Ok(answer) => {
                lifecycle.works(Part::Commands);
                return Ok(answer);
            }
            Err(failure) if is_group_gone(&failure) => {
                lifecycle.works(Part::Commands);
                return Err(Interrupted::GroupGone);
            }
            Err(failure) if is_displaced(&failure) => return Err(Interrupted::Displaced),
            Err(failure) => lifecycle.failed(Part::Commands, &failure),
        }
        pauses.pause(&lifecycle.stop).await?;
    }
}

/// Whether a script says that another process has our name (enter.lua).
pub(super) fn is_displaced(failure: &Failure) -> bool {
    failure.code() == Some("DISPLACED")
}

/// Whether Redis says that there is no such group or stream (any more: UNBLOCKED interrupts a
/// blocking read).
pub(super) fn is_group_gone(failure: &Failure) -> bool {
    matches!(failure.code(), Some("NOGROUP" | "UNBLOCKED"))
}
