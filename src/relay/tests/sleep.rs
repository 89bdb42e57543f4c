//! When the sleep lock is taken and given up: once for a whole sleep, however many single events come in it.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::super::session::Session;
use super::super::trouble::Trouble;
use super::{Counting, Mode, NoRecovery, OneRow, relay};
use crate::outbox::{Outbox, OutboxError, Woken};

/// Claims that take a row or none as the script says, and what was done beside them.
struct Told {
    script: Mutex<VecDeque<char>>,
    calls: Mutex<String>,
    stop: CancellationToken,
}

impl Told {
    fn new(script: &str) -> Self {
        Self { script: Mutex::new(script.chars().collect()), calls: Mutex::default(), stop: CancellationToken::new() }
    }

    fn note(&self, call: char) {
        self.calls.lock().expect("no panic").push(call);
    }
}

impl Outbox for &Told {
    type Claim = OneRow;
    type Recovery = NoRecovery;

    async fn claim(&self, _: &[String]) -> Result<Option<OneRow>, OutboxError> {
        let next = self.script.lock().expect("no panic").pop_front();
        match next {
            Some(next) => self.note(next),
            None => self.stop.cancel(),
        }
        Ok((next == Some('R')).then(|| OneRow::new(None)))
    }

    /// The lock is free: nobody is between insert and commit.
    async fn fall_asleep(&self) -> Result<bool, OutboxError> {
        self.note('l');
        Ok(true)
    }

    async fn get_up(&self) -> Result<(), OutboxError> {
        self.note('u');
        Ok(())
    }

    async fn woken(&self, _: Duration) -> Woken {
        if self.stop.is_cancelled() {
            std::future::pending::<()>().await;
        }
        self.note('z');
        Woken::Notified
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
        Ok(NoRecovery)
    }

    fn rewind(&self) {}
}

/// What is claimed (`R`: a row, `0`: none), and what is done: `l` the lock is taken or known to be held, `z` sleep, `u` the
/// lock is given up. At the end the script is over, and whoever is asleep gets up.
#[tokio::test]
async fn an_event_by_itself_keeps_the_sleep_lock_and_two_claims_in_a_row_give_it_up() -> Result<(), Trouble> {
    let table = [
        // Nothing at all: it falls asleep, looks once more, and sleeps.
        ("00", "0l l0z l u"),
        // One event, and then another one after a sleep: the lock stays.
        ("00R0R0", "0l l0z lR l0z lR l0z l u"),
        // Two in a row: it gets up with the third claim, and sleeps anew when there is nothing left.
        ("00RR00", "0l l0z lR lR u0l l0z l u"),
        // Awake, it takes no lock until there is nothing.
        ("RRRR0", "RRRR0l l u"),
    ];
    for (script, expected) in table {
        let outbox = Told::new(script);
        let counting = Counting(AtomicUsize::default().into());
        let relay = relay(&outbox, counting, 1);
        relay.drain(&Session::new(1, 1), Mode::Daemon, &outbox.stop).await?;
        assert_eq!(*outbox.calls.lock().expect("no panic"), expected.replace(' ', ""), "{script}");
    }
    assert_eq!(table.len(), 4);
    Ok(())
}
