//! What takes longer than a request: acts on many dead letters, and replays. Few at a time, each
//! with how far it is and a way to stop it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::access::secret::random_id;
use super::said::Said;
use outflow_core::fault::Fault;

/// Jobs at work, for all who are logged in.
const RUNNING_MAX: usize = 3;
/// Jobs that are remembered, those at work among them.
const KEPT_MAX: usize = 50;
/// How long a request waits, so that what is short needs no page of its own.
pub(super) const SHORT: Duration = Duration::from_secs(2);

/// The jobs of this process.
#[derive(Default)]
pub(super) struct Jobs(Mutex<VecDeque<Arc<Job>>>);

/// One of them.
pub(super) struct Job {
    /// Names it in addresses.
    pub(super) id: String,
    /// What is done, such as `Retry 12 dead letters`.
    pub(super) what: String,
    /// Who has asked for it.
    pub(super) by: String,
    /// Since when.
    pub(super) since: Timestamp,
    /// The page to go back to.
    pub(super) back: String,
    /// Of how many.
    pub(super) total: u64,
    done: AtomicU64,
    stop: CancellationToken,
    outcome: Mutex<Option<Said>>,
    ended: CancellationToken,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// What somebody wants done.
pub(super) struct Order {
    /// As [`Job::what`].
    pub(super) what: String,
    /// As [`Job::by`].
    pub(super) by: String,
    /// As [`Job::back`].
    pub(super) back: String,
    /// As [`Job::total`].
    pub(super) total: u64,
}

impl Jobs {
    /// Begins it. `work` gets the job, to say how far it is and to heed a stop, and returns what
    /// was done in words.
    ///
    /// # Errors
    /// There are too many at work.
    pub(super) fn start<W>(
        &self,
        order: Order,
        work: impl FnOnce(Arc<Job>) -> W,
    ) -> Result<Arc<Job>, Fault>
    where
        W: Future<Output = Result<String, Fault>> + Send + 'static,
    {
        let Order { what, by, back, total } = order;
        let mut jobs = self.0.lock();
        let running = jobs.iter().filter(|job| job.outcome().is_none()).count();
        if running >= RUNNING_MAX {
            let full = format!("nothing was done: {running} jobs are at work already");
            return Err(Fault::failed(full).remedy("wait for the end of one, or stop it"));
        }
        let job = Arc::new(Job {
            id: random_id()?,
            what,
            by,
            since: Timestamp::now(),
            back,
            total,
            done: AtomicU64::new(0),
            stop: CancellationToken::new(),
            outcome: Mutex::default(),
            ended: CancellationToken::new(),
            task: Mutex::default(),
        });
        let (work, of_work) = (work(Arc::clone(&job)), Arc::clone(&job));
        let task = outflow_core::task::owned(async move {
            let said = match work.await {
                Ok(done) => Said::done(done),
                Err(fault) => Said::failed(fault.to_string()),
            };
            *of_work.outcome.lock() = Some(said);
            of_work.ended.cancel();
        });
        *job.task.lock() = Some(task);
        if jobs.len() >= KEPT_MAX
            && let Some(old) = jobs.iter().position(|job| job.outcome().is_some())
        {
            jobs.remove(old);
        }
        jobs.push_back(Arc::clone(&job));
        Ok(job)
    }

    /// The one with this id.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Job>> {
        self.0.lock().iter().find(|job| job.id == id).cloned()
    }

    /// All that are remembered, the newest first.
    pub(super) fn all(&self) -> Vec<Arc<Job>> {
        self.0.lock().iter().rev().cloned().collect()
    }
}

impl Job {
    /// It is so far.
    pub(super) fn is_at(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }

    /// How far it is.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// What came of it; `None` while it is at work.
    pub(super) fn outcome(&self) -> Option<Said> {
        self.outcome.lock().clone()
    }

    /// Cancelled when it is to end.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// What came of it, if it ends soon.
    pub(super) async fn soon(&self) -> Option<Said> {
        let _ = tokio::time::timeout(SHORT, self.ended.cancelled()).await;
        self.outcome()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        let text = str::to_owned;
        Order { what: text("Retry"), by: text("ada"), back: text("/"), total: 3 }
    }

    #[tokio::test]
    async fn few_run_at_a_time_and_many_are_forgotten() {
        let jobs = Jobs::default();
        let stops = async |job: Arc<Job>| {
            job.stop().cancelled().await;
            job.is_at(2);
            Ok("stopped".to_owned())
        };
        let running: Vec<_> =
            (0..RUNNING_MAX).map(|_| jobs.start(order(), stops).expect("a job")).collect();
        let Err(full) = jobs.start(order(), stops) else { panic!("one too many") };
        assert!(full.to_string().contains("3 jobs are at work"), "{full}");
        for job in &running {
            job.stop().cancel();
            assert_eq!(job.soon().await, Some(Said::done("stopped")));
            assert_eq!(job.done(), 2);
        }
        for _ in 0..2 * KEPT_MAX {
            let job = jobs.start(order(), async |_| Err(Fault::failed("no"))).expect("a job");
            assert_eq!(job.soon().await, Some(Said::failed("no")));
        }
        assert_eq!(jobs.all().len(), KEPT_MAX);
        assert!(jobs.get(&running[0].id).is_none() && jobs.get("").is_none());
    }
}
