//! Back-pressure: reasons for which outboxes make no claims although they could deliver. Rows then
//! wait in Postgres, where there is room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

/// A reason to wait, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What it is about.
    pub reason: HoldReason,
    /// In words.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

/// A closed set, because it is a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// Redis has little memory left.
    Memory,
    /// A consumer group is too far behind.
    Lag,
}

impl HoldReason {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::Memory, Self::Lag];

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Lag => "lag",
        }
    }
}

/// All reasons of this process. Clones share them.
#[derive(Debug, Clone)]
pub struct Holds {
    all: Arc<watch::Sender<Vec<Of>>>,
    appended: Arc<Appended>,
}

/// A reason, and the outbox that it is for; `None`: all of them.
#[derive(Debug, Clone)]
struct Of {
    outbox: Option<String>,
    hold: Hold,
}

/// How much was appended since memory was asked for.
#[derive(Debug)]
struct Appended {
    bytes: AtomicU64,
    step: AtomicU64,
    is_much: Notify,
}

impl Default for Holds {
    fn default() -> Self {
        let appended = Appended {
            bytes: AtomicU64::new(0),
            step: AtomicU64::new(u64::MAX),
            is_much: Notify::new(),
        };
        Self { all: Arc::new(watch::Sender::new(Vec::new())), appended: Arc::new(appended) }
    }
}

impl Holds {
    /// Sets a reason for an outbox, or for all of them; `None`: there is none any more. One that is
    /// set keeps its words and its time. Whether something has changed.
    pub fn set(&self, reason: HoldReason, outbox: Option<&str>, why: Option<String>) -> bool {
        let is_it = |of: &Of| of.hold.reason == reason && of.outbox.as_deref() == outbox;
        self.all.send_if_modified(|all| match (all.iter().position(is_it), why) {
            (None, None) | (Some(_), Some(_)) => false,
            (Some(index), None) => {
                all.remove(index);
                true
            }
            (None, Some(why)) => {
                let hold = Hold { reason, why, since: Timestamp::now() };
                all.push(Of { outbox: outbox.map(str::to_owned), hold });
                true
            }
        })
    }

    /// The reasons for an outbox to wait.
    pub fn of(&self, outbox: &str) -> Vec<Hold> {
        let is_for = |of: &&Of| of.outbox.as_deref().is_none_or(|other| other == outbox);
        self.all.borrow().iter().filter(is_for).map(|of| of.hold.clone()).collect()
    }

    /// Whether an outbox must wait.
    pub fn hold(&self, outbox: &str) -> bool {
        self.all.borrow().iter().any(|of| of.outbox.as_deref().is_none_or(|other| other == outbox))
    }

    /// Whether there is this reason.
    pub fn is_set(&self, reason: HoldReason, outbox: Option<&str>) -> bool {
        let is_it = |of: &Of| of.hold.reason == reason && of.outbox.as_deref() == outbox;
        self.all.borrow().iter().any(is_it)
    }

    /// Tells of each change from here on.
    pub(super) fn changes(&self) -> Changes {
        Changes(self.all.subscribe())
    }

    /// So many bytes were appended.
    pub fn appended(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let Appended { bytes: sum, step, is_much } = &*self.appended;
        let before = sum.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) >= step.load(Ordering::Relaxed) {
            sum.store(0, Ordering::Relaxed);
            is_much.notify_one();
        }
    }

    /// Waits until so many bytes were appended since this was waited for the last time.
    pub async fn much_appended(&self, step: u64) {
        self.appended.step.store(step, Ordering::Relaxed);
        self.appended.is_much.notified().await;
    }
}

/// What has changed since it was made, or last waited for.
pub(super) struct Changes(watch::Receiver<Vec<Of>>);

impl Changes {
    pub(super) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn is_any(&self) -> bool {
        self.0.has_changed().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_for_one_outbox_or_for_all_and_keeps_its_time() {
        let holds = Holds::default();
        let changes = holds.changes();
        assert!(!holds.hold("a") && !changes.is_any());
        assert!(holds.set(HoldReason::Lag, Some("a"), Some("far behind".to_owned())));
        assert!(changes.is_any() && holds.hold("a") && !holds.hold("b"));
        let first = holds.of("a");
        assert!(!holds.set(HoldReason::Lag, Some("a"), Some("farther".to_owned())));
        assert_eq!(holds.of("a"), first);
        assert!(holds.set(HoldReason::Memory, None, Some("nearly full".to_owned())));
        assert_eq!((holds.of("a").len(), holds.of("b").len()), (2, 1));
        assert!(holds.set(HoldReason::Memory, None, None));
        assert!(holds.set(HoldReason::Lag, Some("a"), None));
        assert!(!holds.set(HoldReason::Lag, Some("a"), None) && !holds.hold("a"));
    }

    #[tokio::test]
    async fn much_is_told_after_each_step() {
        let holds = Holds::default();
        let told = async {
            holds.much_appended(100).await;
            holds.much_appended(100).await;
        };
        let append = async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
                holds.appended(10);
            }
        };
        tokio::join!(told, append);
    }
}
