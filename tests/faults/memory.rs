//! How much memory Redis uses, asked for all the time: it must stay below `maxmemory`.

use std::sync::Arc;
use std::time::Duration;

use outflow_connect::redis::{Args, Redis};
use outflow_local::redis_client;
use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;

/// Part of `maxmemory` from which on the relay waits (the default of `redis.memory_pause`), in
/// percent.
const PAUSE: u64 = 85;
/// Between two questions.
const STEP: Duration = Duration::from_millis(50);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Asks until it is dropped.
pub(crate) struct Memory {
    max: u64,
    seen: Arc<Mutex<Seen>>,
    _task: AbortOnDropHandle<()>,
}

/// What the server has said.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Most that counts for `maxmemory`, in bytes, at a question.
    pub(crate) most: u64,
    /// Most that was used at any time, with buffers that do not count.
    pub(crate) peak: u64,
    pub(crate) samples: u64,
    /// At so many of them the relay was to wait.
    pub(crate) full: u64,
    /// Commands that were refused because of the limit.
    pub(crate) refused: u64,
    /// The same while a fault had set a lower one.
    pub(crate) refused_by_fault: u64,
    /// What the server had refused by the last question.
    counted: u64,
    /// Faults under way that set a lower limit.
    faults: u32,
    /// Questions after such a fault whose answers are about it.
    after_fault: u32,
}

impl Memory {
    /// `max` is the server's `maxmemory`, also while a fault has set another one.
    pub(crate) fn start(url: &str, max: u64) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn(ask(redis_client(url, "memory"), max, Arc::clone(&seen)));
        Self { max, seen, _task: AbortOnDropHandle::new(task) }
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// A fault sets a lower limit, or has set it back.
    pub(crate) fn fault(&self, begins: bool) {
        let mut seen = self.seen.lock();
        if begins {
            seen.faults += 1;
        } else {
            seen.faults -= 1;
            // A question that was on its way may have been answered before the end.
            seen.after_fault = 2;
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        *self.seen.lock()
    }
}

impl Seen {
    fn take(&mut self, info: &str, max: u64) {
        let field = |name: &str| {
            let lines = info.lines().filter_map(|line| line.trim().split_once(':'));
            lines.filter(|(field, _)| *field == name).map(|(_, value)| value.to_owned()).next()
        };
        let number = |name: &str| field(name).and_then(|value| value.parse().ok()).unwrap_or(0);
        let used: u64 = number("used_memory");
        let counts = used.saturating_sub(number("mem_not_counted_for_evict"));
        let refused = field("errorstat_OOM");
        let refused = refused.and_then(|stat| stat.trim_start_matches("count=").parse().ok());
        let refused: u64 = refused.unwrap_or(0);
        self.samples += 1;
        self.full += u64::from(counts >= max / 100 * PAUSE);
        self.most = self.most.max(counts);
        self.peak = self.peak.max(number("used_memory_peak"));
        // A server that started again counts anew.
        let new = refused.checked_sub(self.counted).unwrap_or(refused);
        self.counted = refused;
        if self.faults > 0 || self.after_fault > 0 {
            self.refused_by_fault += new;
            self.after_fault = self.after_fault.saturating_sub(u32::from(self.faults == 0));
        } else {
            self.refused += new;
        }
    }
}

async fn ask(redis: Redis, max: u64, seen: Arc<Mutex<Seen>>) {
    loop {
        if redis.ready(CONNECT_LIMIT).await.is_ok()
            && let Ok(info) = redis.call("INFO", Args::from(["everything"])).await
        {
            seen.lock().take(&info.string().unwrap_or_default(), max);
        }
        tokio::time::sleep(STEP).await;
    }
}

#[test]
fn a_server_that_starts_again_counts_anew() {
    let mut seen = Seen::default();
    let full = 1_000 * PAUSE;
    let answers = [(full + 9, 3, 0), (full + 8, 4, 0), (20, 1, 0), (20, 3, 1), (20, 4, 1)];
    for (used, refused, faults) in answers {
        seen.faults = faults;
        let info = format!(
            "used_memory:{used}\r\nmem_not_counted_for_evict:9\r\nused_memory_peak:{used}\r\n\
             errorstat_OOM:count={refused}\r\n"
        );
        seen.take(&info, 100_000);
    }
    assert_eq!((seen.most, seen.peak, seen.samples), (full, full + 9, 5));
    assert_eq!((seen.full, seen.refused, seen.refused_by_fault), (1, 5, 3));
}
