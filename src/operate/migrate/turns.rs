//! Running the script on a busy table. Whoever waits for a lock on it makes all later writers wait
//! as well; so each try is cut short by the script's own `lock_timeout`, the writers pass, and the
//! next try follows.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use outflow_connect::postgres::{blockers, describe, failed};
use outflow_core::fault::Fault;

/// Pauses between two tries: longer than a try, so that writers get more of the time than we do.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Where the script runs, and from where it is watched meanwhile.
#[derive(Debug)]
pub struct Sessions {
    /// The script's own.
    pub worker: Client,
    /// Tells who holds the locks, if it could be had.
    pub observer: Option<Client>,
}

/// Runs `script`, which is one transaction, until it gets its locks or `patience` is over. Each
/// further try has sessions of its own, because a role may preset that idle ones are ended, and
/// between two tries they are idle.
///
/// # Errors
/// The server's own words, or who holds the lock. Nothing was changed.
pub(super) async fn run(
    mut sessions: Sessions,
    again: impl AsyncFn() -> Result<Sessions, Fault>,
    script: &str,
    patience: Duration,
) -> Result<(), Fault> {
    let pauses = ExponentialBuilder::default().with_min_delay(PAUSE_MIN).with_max_delay(PAUSE_MAX);
    let mut pauses = pauses.with_jitter().without_max_times().build();
    let (started, mut tries) = (Instant::now(), 0);
    loop {
        tries += 1;
        let Sessions { worker, observer } = sessions;
        let pid = worker.query_typed_one("select pg_catalog.pg_backend_pid()", &[]).await;
        let pid: i32 = pid.map_err(failed)?.get(0);
        let (outcome, wait) =
            blockers::watched(observer.as_ref(), pid, worker.batch_execute(script)).await;
        let Err(error) = outcome else { return Ok(()) };
        if !is_locked(&error) {
            return Err(failed(error));
        }
        worker.batch_execute("rollback").await.map_err(failed)?;
        drop((worker, observer));
        let wait = wait.map_or_else(|| describe(&error), |wait| wait.to_string());
        let pause = pauses.next().unwrap_or(PAUSE_MAX);
        if started.elapsed() + pause >= patience {
            let what = format!(
                "{wait}; gave up after {tries} tries in {} s, and nothing was changed",
                started.elapsed().as_secs()
            );
            let remedy = "wait for the end of that transaction or end it (select \
                pg_terminate_backend(PID)), then run `outflow migrate` again; --lock-wait makes \
                it try for longer";
            return Err(Fault::failed(what).remedy(remedy).because(error));
        }
        tracing::warn!(
            wait,
            tries,
            ?pause,
            "could not get a lock in time: pausing so that writers can proceed, then retrying"
        );
        tokio::time::sleep(pause).await;
        sessions = again().await?;
    }
}

/// Both mean that others were at work, and that the transaction was rolled back.
fn is_locked(error: &tokio_postgres::Error) -> bool {
    matches!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED))
}
