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
pub(super) struct Jobs {
    known: Mutex<VecDeque<Arc<Job>>>,
    /// Cancelled at the end of the process.
    stop: CancellationToken,
}

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
        let mut jobs = self.known.lock();
        if self.stop.is_cancelled() {
            return Err(Fault::failed("nothing was done: the console is being stopped"));
        }
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
            stop: self.stop.child_token(),
            outcome: Mutex::default(),
            ended: CancellationToken::new(),
            task: Mutex::default(),
        });
        let (work, of_work) = (work(Arc::clone(&job)), Arc::clone(&job));
        let end = job.ended.clone().drop_guard();
        let task = outflow_core::task::owned(async move {
            // Also if the work panics.
            let _end = end;
            let said = match work.await {
                Ok(done) => Said::done(done),
                Err(fault) => Said::failed(fault.to_string()),
            };
            *of_work.outcome.lock() = Some(said);
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
        self.known.lock().iter().find(|job| job.id == id).cloned()
    }

    /// All that are remembered, the newest first.
    pub(super) fn all(&self) -> Vec<Arc<Job>> {
        self.known.lock().iter().rev().cloned().collect()
    }

    /// How many are at work.
    pub(super) fn running(&self) -> usize {
        self.known.lock().iter().filter(|job| job.outcome().is_none()).count()
    }

    /// Tells all to end: each ends its step, and says how far it came. From now on none begins.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until all have ended.
    pub(super) async fn ended(&self) {
        for job in self.all() {
            job.ended.cancelled().await;
        }
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
        let broken = || Said::failed("it broke off by a fault of the console: see its log");
        let has_ended = self.ended.is_cancelled();
        self.outcome.lock().clone().or_else(|| has_ended.then(broken))
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
    async fn at_a_stop_each_ends_its_step_and_none_begins() {
        let jobs = Jobs::default();
        let stops = async |job: Arc<Job>| {
            job.stop().cancelled().await;
            tokio::task::yield_now().await;
            Ok("ended".to_owned())
        };
        let job = jobs.start(order(), stops).expect("a job");
        assert_eq!(jobs.running(), 1);
        jobs.stop();
        jobs.ended().await;
        assert_eq!((jobs.running(), job.outcome()), (0, Some(Said::done("ended"))));
        let Err(late) = jobs.start(order(), stops) else { panic!("it begins") };
        assert!(late.to_string().contains("being stopped"), "{late}");
    }

    #[tokio::test]
    async fn one_that_panics_has_ended() {
        let jobs = Jobs::default();
        let breaks = async |_| -> Result<String, Fault> { panic!("a fault") };
        let job = jobs.start(order(), breaks).expect("a job");
        let said = job.soon().await.expect("an end");
        assert!(!said.is_done && said.text.contains("broke off"), "{said:?}");
        assert_eq!(jobs.running(), 0);
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
