//! What systemd is told: READY, a STATUS line, the watchdog's pings as long as every loop makes
//! progress, STOPPING.
//!
//! A manager that does not read is waited for, but never for long, and never by the thread that
//! relays: the kernel queues ten datagrams, then `sd_notify::notify` blocks.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram as Socket};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::net::UnixDatagram;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::observe::metrics::OutboxState;
use crate::observe::outboxes::Outboxes;
use crate::relay::pause::Pause;

/// A server that is away must not hold up the boot: ready then, with the cause in STATUS.
const READY_LATEST: Duration = Duration::from_secs(10);
/// Pause between two looks before READY, and after it.
const STARTING_PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a manager that does not read may keep us from going on.
const TELL_LIMIT: Duration = Duration::from_millis(500);
/// Where the manager listens.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Notifies systemd until the task ends. Does nothing without `NOTIFY_SOCKET`.
pub async fn keep(outboxes: Outboxes, stop: CancellationToken) {
    if std::env::var_os(SOCKET).is_none() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled();
    // Twice as often as asked for, as systemd recommends.
    let pause = watchdog.map_or(PAUSE_MAX, |limit| (limit / 2).min(PAUSE_MAX));
    let started = Instant::now();
    let (mut is_ready, mut last) = (false, Seen { at: started, delivered: 0 });
    loop {
        let state = outboxes.state();
        let mut states = Vec::new();
        let line = last.status(&state, stop.is_cancelled());
        states.push(NotifyState::Status(&line));
        let becomes_ready = !is_ready
            && (state.iter().all(|one| one.problem.is_none()) || started.elapsed() > READY_LATEST);
        if becomes_ready {
            states.push(NotifyState::Ready);
        }
        if watchdog.is_some() && all_alive(&state) {
            states.push(NotifyState::Watchdog);
        }
        if stop.is_cancelled() {
            states.push(NotifyState::Stopping);
        }
        // Until it has heard READY, a unit of Type=notify is not started.
        is_ready |= tell(&states).await && becomes_ready;
        let pause = if is_ready { pause } else { STARTING_PAUSE };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled(), if !stop.is_cancelled() => {}
        }
    }
}

/// Reports a stop. [`keep`] may not see it, because a short drain can be over before its next
/// round.
pub async fn stopping() {
    tell(&[NotifyState::Stopping]).await;
}

/// A reload begins. systemd wants the time with it, to tell this one from the one before.
pub async fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => _ = tell(&[NotifyState::Reloading, now]).await,
        Err(error) => tracing::debug!(%error, "cannot notify systemd"),
    }
}

/// Reports the end of a reload, whether it succeeded or was rejected.
pub async fn reloaded() {
    tell(&[NotifyState::Ready]).await;
}

/// Returns whether it was sent.
async fn tell(states: &[NotifyState<'_>]) -> bool {
    let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
    let message = lines.join("\n");
    let sent = timeout(TELL_LIMIT, send(&message)).await;
    let sent = sent.unwrap_or_else(|_elapsed| {
        Err(io::Error::new(io::ErrorKind::TimedOut, "it does not read"))
    });
    if let Err(error) = &sent {
        tracing::debug!(%error, "cannot notify systemd");
    }
    sent.is_ok()
}

/// Nobody who listens is no error.
async fn send(message: &str) -> io::Result<()> {
    let Some(place) = std::env::var_os(SOCKET) else { return Ok(()) };
    let address = match place.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&place)?,
    };
    let socket = Socket::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    UnixDatagram::from_std(socket)?.send(message.as_bytes()).await.map(drop)
}

/// A timer alone would prove only that the timer works.
fn all_alive(state: &[OutboxState]) -> bool {
    state.iter().all(|one| one.stalled_seconds.is_none())
}

/// What the last STATUS was made from.
struct Seen {
    at: Instant,
    delivered: u64,
}

impl Seen {
    /// `oldest 0.4 s · 412/s`, or what is wrong or paused.
    fn status(&mut self, state: &[OutboxState], is_draining: bool) -> String {
        let delivered = state.iter().map(|one| one.delivered).sum();
        let (before, now) = (std::mem::replace(&mut self.delivered, delivered), Instant::now());
        let elapsed =
            now.duration_since(std::mem::replace(&mut self.at, now)).as_secs_f64().max(0.001);
        if is_draining {
            return "draining what is in flight".to_owned();
        }
        if let Some((name, problem)) =
            state.iter().find_map(|one| Some((&one.outbox, one.problem.as_ref()?)))
        {
            return format!("{name}: {problem}");
        }
        let is_whole = |pause: &&Pause| pause.stream.is_none();
        if let Some((name, pause)) =
            state.iter().find_map(|one| Some((&one.outbox, one.paused.iter().find(is_whole)?)))
        {
            return format!("{name}: paused {pause}");
        }
        #[expect(clippy::cast_precision_loss, reason = "for people to read")]
        let rate = delivered.saturating_sub(before) as f64 / elapsed;
        let ages = state.iter().filter_map(|one| one.oldest_event_age_seconds);
        format!("oldest {:.1} s · {rate:.0}/s", ages.fold(0.0, f64::max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::Metrics;

    fn state() -> Vec<OutboxState> {
        let metrics = Metrics::new().expect("metrics");
        ["orders", "audit"].map(|name| metrics.outbox(name).state()).into()
    }

    #[test]
    fn one_loop_that_hangs_is_enough_for_the_watchdog() {
        let mut state = state();
        assert!(all_alive(&state));
        state[1].stalled_seconds = Some(200);
        assert!(!all_alive(&state));
    }

    #[test]
    fn the_status_line_says_what_matters() {
        let mut seen = Seen { at: Instant::now(), delivered: 0 };
        let mut state = state();
        assert_eq!(seen.status(&state, false), "orders: starting");
        for one in &mut state {
            one.problem = None;
        }
        state[1].oldest_event_age_seconds = Some(0.44);
        assert_eq!(seen.status(&state, false), "oldest 0.4 s · 0/s");
        seen.at -= Duration::from_secs(2);
        state[0].delivered = 824;
        assert_eq!(seen.status(&state, false), "oldest 0.4 s · 412/s");
        state[1].paused.push(Pause {
            stream: None,
            why: "an upgrade".to_owned(),
            since: jiff::Timestamp::UNIX_EPOCH,
            until: None,
            os_user: "ada".to_owned(),
            host: "here".to_owned(),
            role: "operator".to_owned(),
        });
        assert_eq!(
            seen.status(&state, false),
            "audit: paused since 1970-01-01T00:00:00Z by ada on here (role operator) until \
                resumed: an upgrade"
        );
        assert_eq!(seen.status(&state, true), "draining what is in flight");
    }
}
