//! How a run goes and ends: its health, the request to stop, and what can only be mended by new
//! settings.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::health::{Health, Part};
use outflow_connect::redis::Failure;

/// How long Redis must have refused our credentials, without any answer but that, before the run
/// ends. A server that restarts may refuse them for a moment.
const LOGIN_PATIENCE: Duration = Duration::from_secs(5);

/// Why [`Consumer::run`](super::Consumer::run) returned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum Ended {
    /// The caller asked for the stop.
    Stopped,
    /// Redis has refused the credentials for five seconds (`NOAUTH`, `WRONGPASS`): the address has
    /// none, or wrong ones. They are part of this consumer's settings, so waiting would not help: a
    /// password that was rotated needs a consumer with the new address.
    ///
    /// A missing privilege (`NOPERM`) does not end the run. An administrator can grant it while the
    /// consumer waits, and [`Health`](super::Health) shows it meanwhile.
    LoginRefused(Failure),
}

/// What everything in a consumer knows of its run.
#[derive(Debug, Default)]
pub(super) struct Lifecycle {
    pub(super) health: Health,
    pub(super) stop: CancellationToken,
    /// A stop has waited long enough: attempts are broken off.
    pub(super) abandon: CancellationToken,
    login: Mutex<Login>,
}

#[derive(Debug, Default)]
struct Login {
    refused_since: Option<Instant>,
    /// The run ends for it.
    refusal: Option<Failure>,
}

impl Lifecycle {
    /// Notes that Redis answered.
    pub(super) fn works(&self, part: Part) {
        self.health.up(part);
        self.login.lock().refused_since = None;
    }

    /// Notes that a command failed; ends the run if no later one can succeed.
    pub(super) fn failed(&self, part: Part, failure: &Failure) {
        self.health.down(part, &failure.to_string());
        self.note_login(failure, Instant::now());
    }

    fn note_login(&self, failure: &Failure, now: Instant) {
        let mut login = self.login.lock();
        if !failure.is_login_refused() {
            login.refused_since = None;
        } else if now.duration_since(*login.refused_since.get_or_insert(now)) >= LOGIN_PATIENCE
            && login.refusal.is_none()
        {
            tracing::error!(%failure, "Redis refuses the credentials of the address: stopping");
            login.refusal = Some(failure.clone());
            self.stop.cancel();
        }
    }

    /// Why the run ended.
    pub(super) fn ended(&self) -> Ended {
        self.login.lock().refusal.clone().map_or(Ended::Stopped, Ended::LoginRefused)
    }
}

#[cfg(test)]
mod tests {
    use outflow_core::fault::Fault;

    use super::{Ended, Failure, Instant, LOGIN_PATIENCE, Lifecycle, Part};

    #[test]
    fn refused_credentials_end_the_run_after_a_while_and_nothing_else_does() {
        let lifecycle = Lifecycle::default();
        let refused = Failure::Refused("NOAUTH Authentication required.".to_owned());
        let away = Failure::NotSent(Fault::unreachable("connection refused"));
        let start = Instant::now();
        lifecycle.note_login(&refused, start);
        lifecycle.note_login(&away, start + LOGIN_PATIENCE);
        lifecycle.note_login(&refused, start + 2 * LOGIN_PATIENCE);
        assert!(!lifecycle.stop.is_cancelled(), "there was something else in between");
        lifecycle.works(Part::Commands);
        lifecycle.note_login(&refused, start + 3 * LOGIN_PATIENCE);
        assert_eq!((lifecycle.stop.is_cancelled(), lifecycle.ended()), (false, Ended::Stopped));
        lifecycle.note_login(&refused, start + 4 * LOGIN_PATIENCE);
        assert_eq!(
            (lifecycle.stop.is_cancelled(), lifecycle.ended()),
            (true, Ended::LoginRefused(refused))
        );
    }
}
