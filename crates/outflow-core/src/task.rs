//! Tasks that end with their owner: none outlives what it works for.

use tokio_util::task::AbortOnDropHandle;

/// Runs `work` beside its owner, which holds the handle. Dropping the handle aborts the task.
pub fn owned<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> AbortOnDropHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns; its handle aborts")]
    let task = tokio::spawn(work);
    AbortOnDropHandle::new(task)
}
