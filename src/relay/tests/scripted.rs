//! An outbox and sinks that do what a test's script says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::relay::encode::Entries;
use crate::relay::event::{Acknowledged, Batch, Event};
use crate::relay::outbox::{Assignment, Claim, First, Outbox, OutboxError, Recovery, Woken};
use crate::relay::pause::Pauses;
use crate::relay::sink::{AppendError, Position, Raised, Refusal, Sink};

/// Claims as a script says, and remembers what was done: `0` takes nothing, `R` a row, `F` a row
/// that cannot be settled, `W` waits until that was tried, or the row rolled back, and gets the
/// same row; `A` waits as well and is refused, because the row is in flight, and so is `I` at once;
/// `E` waits and takes nothing.
/// When the script is over, it is asked to stop.
pub(super) struct Scripted {
    script: Mutex<VecDeque<char>>,
    calls: Mutex<String>,
    pub(super) let_go: Arc<Notify>,
    pub(super) rewinds: AtomicUsize,
    /// Claims that were said not to be appended.
    pub(super) not_appended: Arc<AtomicUsize>,
    /// What is known of the first event of any stream: that it cannot be claimed now, or that there
    /// is none.
    pub(super) later: AtomicBool,
    pub(super) stop: CancellationToken,
    /// Nobody notifies.
    pub(super) sleeps_on: AtomicBool,
    pub(super) pauses: watch::Sender<Arc<Pauses>>,
}

impl Scripted {
    pub(super) fn new(script: &str) -> Self {
        Self {
            script: Mutex::new(script.chars().collect()),
            calls: Mutex::default(),
            let_go: Arc::default(),
            rewinds: AtomicUsize::default(),
            not_appended: Arc::default(),
            later: AtomicBool::default(),
            stop: CancellationToken::new(),
            sleeps_on: AtomicBool::default(),
            pauses: watch::Sender::default(),
        }
    }

    /// The claims of the script, and between them `l`: the sleep lock is taken or known to be held,
    /// `z`: sleep, `u`: the lock is given up, `r`: a recovery is begun.
    pub(super) fn calls(&self) -> String {
        self.calls.lock().clone()
    }

    fn note(&self, call: char) {
        self.calls.lock().push(call);
    }
}

pub(super) struct OneRow {
    batch: Batch,
    /// Told when it is to be settled, which then fails, and when it is rolled back.
    let_go: Option<Arc<Notify>>,
    not_appended: Arc<AtomicUsize>,
}

impl OneRow {
    fn new(let_go: Option<Arc<Notify>>, not_appended: &Arc<AtomicUsize>) -> Self {
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
        let batch = Batch { events: vec![event], ..Batch::default() };
        Self { batch, let_go, not_appended: Arc::clone(not_appended) }
    }
}

/// Counts what it takes.
pub(super) struct Counting(pub(super) Arc<AtomicUsize>);

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

    fn was_not_appended(&mut self) {
        self.not_appended.fetch_add(1, Ordering::Relaxed);
    }

    async fn roll_back(self) -> Result<(), OutboxError> {
        let Some(let_go) = self.let_go else {
            return Err(OutboxError::Postgres("no answer".to_owned()));
        };
        let_go.notify_one();
        Ok(())
    }
}

impl Outbox for &Scripted {
    type Claim = OneRow;
    type Recovery = NoRecovery;

    async fn claim(&self, _: &[String]) -> Result<Option<OneRow>, OutboxError> {
        let next = self.script.lock().pop_front();
        match next {
            Some(next) => self.note(next),
            None => self.stop.cancel(),
        }
        let row = |let_go| Some(OneRow::new(let_go, &self.not_appended));
        Ok(match next {
            Some('R') => row(None),
            Some('F') => row(Some(Arc::clone(&self.let_go))),
            Some('W') => {
                self.let_go.notified().await;
                row(None)
            }
            Some('A') => {
                self.let_go.notified().await;
                return Err(in_flight());
            }
            Some('I') => return Err(in_flight()),
            Some('E') => {
                self.let_go.notified().await;
                None
            }
            _ => None,
        })
    }

    async fn testify(&self, _: Acknowledged) -> Result<(), OutboxError> {
        Ok(())
    }

    async fn claim_of(&self, _: &str) -> Result<First<OneRow>, OutboxError> {
        let later = self.later.load(Ordering::Relaxed);
        Ok(if later { First::Later } else { First::Nothing })
    }

    async fn join(&self) -> Result<i32, OutboxError> {
        Ok(1)
    }

    async fn changed(&self) {}

    fn pauses(&self) -> watch::Receiver<Arc<Pauses>> {
        self.pauses.subscribe()
    }

    async fn leave(&self) {}

    async fn sweep(&self, _: &[String]) -> Duration {
        Duration::MAX
    }

    async fn recover(&self) -> Result<NoRecovery, OutboxError> {
        self.note('r');
        Ok(NoRecovery)
    }

    fn rewind(&self) {
        self.rewinds.fetch_add(1, Ordering::Relaxed);
    }

    /// The lock is free: nobody is between insert and commit.
    async fn fall_asleep(&self) -> Result<bool, OutboxError> {
        self.note('l');
        Ok(true)
    }

    async fn woken(&self, _: Duration) -> Woken {
        if self.stop.is_cancelled() {
            std::future::pending::<()>().await;
        }
        self.note('z');
        if self.sleeps_on.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        Woken::Notified
    }

    async fn get_up(&self) -> Result<(), OutboxError> {
        self.note('u');
        Ok(())
    }
}

fn in_flight() -> OutboxError {
    OutboxError::InFlight("1".to_owned())
}

pub(super) struct NoRecovery;

/// Takes nothing, and may be silent altogether: whoever asks then is stopped.
#[derive(Default)]
pub(super) struct Full {
    pub(super) silent: Option<CancellationToken>,
    /// It may have taken what it did not answer to.
    pub(super) unanswered: bool,
}

impl Sink for Full {
    async fn append(
        &self,
        _: Position,
        _: &Batch,
        _: &Entries,
    ) -> Result<Vec<Refusal>, AppendError> {
        // The other lane begins its claim meanwhile.
        tokio::task::yield_now().await;
        Err(if self.unanswered {
            AppendError::Unknown("no answer".to_owned())
        } else {
            AppendError::Unavailable("OOM".to_owned())
        })
    }

    async fn is_ready(&self, _: Position) -> Result<(), AppendError> {
        Err(AppendError::Unavailable("OOM".to_owned()))
    }

    async fn answers(&self) -> Result<(), String> {
        let Some(asked) = &self.silent else { return Ok(()) };
        asked.cancel();
        Err("no answer".to_owned())
    }

    async fn raise(&self, _: i64, _: &str) -> Result<Raised, String> {
        Err("OOM".to_owned())
    }

    async fn last_batch(&self, _: i64, _: i32) -> Result<Option<u64>, String> {
        Ok(None)
    }

    async fn forget(&self, _: Position, _: &[u64]) -> Result<(), String> {
        Ok(())
    }
}

impl Recovery for NoRecovery {
    fn generation(&self) -> i64 {
        1
    }

    fn server(&self) -> &'static str {
        ""
    }

    fn assignment(&self) -> Assignment {
        Assignment::InForce
    }

    fn slots_owned(&self) -> usize {
        64
    }

    fn leads(&self) -> bool {
        true
    }

    async fn adopt(self) -> Result<(), OutboxError> {
        Ok(())
    }

    fn acknowledged(&self) -> &[Acknowledged] {
        &[]
    }

    fn loss(&self) -> i64 {
        0
    }

    async fn finish(self, _: &Raised, _: bool, _: i64) -> Result<u64, OutboxError> {
        Ok(0)
    }
}

impl Sink for Counting {
    async fn append(
        &self,
        _: Position,
        batch: &Batch,
        _: &Entries,
    ) -> Result<Vec<Refusal>, AppendError> {
        self.0.fetch_add(batch.events.len(), Ordering::Relaxed);
        // The other lane begins its claim meanwhile.
        tokio::task::yield_now().await;
        Ok(Vec::new())
    }

    async fn is_ready(&self, _: Position) -> Result<(), AppendError> {
        Ok(())
    }

    async fn answers(&self) -> Result<(), String> {
        Ok(())
    }

    async fn raise(&self, known: i64, _: &str) -> Result<Raised, String> {
        Ok(Raised {
            generation: known + 1,
            previous: Some(known),
            appended: Vec::new(),
            last: Vec::new(),
            server: None,
            kept: None,
        })
    }

    async fn last_batch(&self, _: i64, _: i32) -> Result<Option<u64>, String> {
        Ok(None)
    }

    async fn forget(&self, _: Position, _: &[u64]) -> Result<(), String> {
        Ok(())
    }
}
