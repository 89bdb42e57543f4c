//! The pipeline over a scripted outbox and sink: what must not happen when a batch fails while another is being claimed.

mod sleep;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::trouble::{Cause, Trouble};
use super::{Limits, Mode, Relay};
use crate::encode::{Encoder, Entries, Format};
use crate::event::{AppendedRow, Batch, Event};
use crate::metrics::Metrics;
use crate::outbox::{Claim, Outbox, OutboxError, Recovery, Standing, Woken};
use crate::sink::{AppendError, Position, Raised, Refusal, Sink};

/// Gives one row; while it is being settled, in vain, a second claim is waiting that then gets the same row.
#[derive(Default)]
struct Scripted {
    claims: AtomicUsize,
    recoveries: Arc<AtomicUsize>,
    let_go: Arc<Notify>,
}

struct OneRow {
    batch: Batch,
    /// Told when it is to be settled, which then fails.
    let_go: Option<Arc<Notify>>,
}

impl OneRow {
    fn new(let_go: Option<Arc<Notify>>) -> Self {
        let text = |text: &'static str| Bytes::from_static(text.as_bytes());
        let event = Event {
            row: text("1"),
            order: Some(1),
            id: text("e"),
            key: None,
            kind: text("T"),
            time: None,
            payload: text("{}"),
            headers: None,
        };
        Self { batch: Batch { events: vec![event], route: Vec::new(), route_width: 0 }, let_go }
    }
}

struct Counting(Arc<AtomicUsize>);

impl Claim for OneRow {
    fn batch(&self) -> &Batch {
        &self.batch
    }

    fn is_full(&self) -> bool {
        false
    }

    async fn settle(self, _: &Entries) -> Result<(), OutboxError> {
        let Some(let_go) = self.let_go else { return Ok(()) };
        let_go.notify_one();
        Err(OutboxError::Postgres("terminated".to_owned()))
    }

    async fn roll_back(self) -> Result<(), OutboxError> {
        Err(OutboxError::Postgres("no answer".to_owned()))
    }
}

impl Outbox for Scripted {
    type Claim = OneRow;
    type Recovery = NoRecovery;

    async fn claim(&self, _: &[String]) -> Result<Option<OneRow>, OutboxError> {
        if self.claims.fetch_add(1, Ordering::Relaxed) > 0 {
            self.let_go.notified().await;
        }
        Ok(Some(OneRow::new(Some(Arc::clone(&self.let_go)))))
    }

    async fn join(&self) -> Result<i32, OutboxError> {
        Ok(1)
    }

    async fn changed(&self) {}

    async fn leave(&self) {}

    async fn sweep(&self, _: &[String]) -> Duration {
        Duration::MAX
    }

    async fn recover(&self) -> Result<NoRecovery, OutboxError> {
        self.recoveries.fetch_add(1, Ordering::Relaxed);
        Ok(NoRecovery)
    }

    fn rewind(&self) {}

    async fn fall_asleep(&self) -> Result<bool, OutboxError> {
        Ok(false)
    }

    async fn woken(&self, _: Duration) -> Woken {
        Woken::Elapsed
    }

    async fn get_up(&self) -> Result<(), OutboxError> {
        Ok(())
    }
}

struct NoRecovery;

/// Takes nothing, and may be silent altogether: whoever asks then is stopped.
#[derive(Default)]
struct Full {
    silent: Option<CancellationToken>,
}

impl Sink for Full {
    async fn append(&self, _: Position, _: &[u64], _: &Batch, _: &Entries) -> Result<Vec<Refusal>, AppendError> {
        Err(AppendError::Unavailable("OOM".to_owned()))
    }

    async fn answers(&self) -> Result<(), String> {
        let Some(asked) = &self.silent else { return Ok(()) };
        asked.cancel();
        Err("no answer".to_owned())
    }

    async fn raise(&self, _: i64) -> Result<Raised, String> {
        Err("OOM".to_owned())
    }

    async fn forget(&self, _: i64, _: i32, _: &[u64]) -> Result<(), String> {
        Ok(())
    }
}

impl Recovery for NoRecovery {
    fn generation(&self) -> i64 {
        1
    }

    fn standing(&self) -> Standing {
        Standing::InForce
    }

    fn slots_owned(&self) -> usize {
        64
    }

    async fn adopt(self) -> Result<(), OutboxError> {
        Ok(())
    }

    async fn finish(self, _: i64, _: &[AppendedRow]) -> Result<u64, OutboxError> {
        Ok(0)
    }
}

impl Sink for Counting {
    async fn append(&self, _: Position, _: &[u64], batch: &Batch, _: &Entries) -> Result<Vec<Refusal>, AppendError> {
        self.0.fetch_add(batch.events.len(), Ordering::Relaxed);
        // The other lane begins its claim meanwhile.
        tokio::task::yield_now().await;
        Ok(Vec::new())
    }

    async fn answers(&self) -> Result<(), String> {
        Ok(())
    }

    async fn raise(&self, known: i64) -> Result<Raised, String> {
        Ok(Raised { generation: known + 1, previous: Some(known), appended: Vec::new() })
    }

    async fn forget(&self, _: i64, _: i32, _: &[u64]) -> Result<(), String> {
        Ok(())
    }
}

fn relay<O: Outbox, S: Sink>(outbox: O, sink: S, in_flight: usize) -> Relay<O, S> {
    let encoder = Encoder {
        template: "s".parse().expect("a template"),
        format: Format::Fields,
        event_bytes_max: 100,
        source: Bytes::new(),
    };
    let metrics = Metrics::new().expect("metrics").outbox("test");
    let limits = Limits { in_flight, poll_interval: Duration::from_secs(1), linger: Duration::ZERO, park_max: None };
    Relay::new("test", outbox, sink, encoder, limits, metrics)
}

/// A claim that may still be open hides its rows: the next claims would take what follows them, and nobody would know.
#[tokio::test]
async fn a_rollback_without_an_answer_is_a_doubt_although_nothing_was_appended() {
    let relay = relay(Scripted::default(), Full::default(), 2);
    let outcome = relay.deliver_once(&Session::new(1, 1), &CancellationToken::new()).await;
    assert!(matches!(outcome, Err(Trouble::Doubt { cause: Cause::Postgres, .. })), "{outcome:?}");
}

/// Found on real servers under load: sessions terminated while batches were in flight, and an event was doubled.
#[tokio::test]
async fn a_row_that_a_failed_settle_let_go_is_not_appended_again() {
    let appended = Arc::new(AtomicUsize::new(0));
    let relay = relay(Scripted::default(), Counting(Arc::clone(&appended)), 2);
    let outcome = relay.drain(&Session::new(1, 1), Mode::Daemon, &CancellationToken::new()).await;
    assert!(matches!(outcome, Err(Trouble::Doubt { cause: Cause::Postgres, .. })), "{outcome:?}");
    assert_eq!(appended.load(Ordering::Relaxed), 1, "appended again");
}

/// The fence would keep all other members from claiming for as long as Redis is waited for.
#[tokio::test]
async fn no_recovery_is_begun_while_redis_is_silent() {
    let (stop, recoveries) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let outbox = Scripted { recoveries: Arc::clone(&recoveries), ..Scripted::default() };
    let relay = relay(outbox, Full { silent: Some(stop.clone()) }, 1);
    relay.run(Mode::Daemon, &stop).await;
    assert!(stop.is_cancelled(), "it was not asked");
    assert_eq!(recoveries.load(Ordering::Relaxed), 0);
}
