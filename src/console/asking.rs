//! Asking the servers for a page, in a bounded time, and what is shown if there is no answer.

use maud::Markup;
use tokio_postgres::{Client, Error};

use super::parts::{problem, unreachable};
use super::state::Console;
use crate::operate::connect::failed;
use crate::operate::streams::Streams;
use outflow_connect::postgres::{self, scoped};
use outflow_core::fault::Fault;

/// A page waits no longer.
const SETTINGS: &str = "set statement_timeout = '5s'; set lock_timeout = '1s';";
/// Of something that counts all there is before it is done.
const COUNTING: &str = "set statement_timeout = '30s'; set lock_timeout = '1s';";

/// Looks, in a transaction of its own that changes nothing.
pub(super) async fn looking<T>(
    console: &Console,
    look: impl AsyncFnOnce(&Client) -> Result<T, Error>,
) -> Result<T, Fault> {
    within(console, SETTINGS, look).await
}

/// The same, with more time.
pub(super) async fn counting<T>(
    console: &Console,
    look: impl AsyncFnOnce(&Client) -> Result<T, Error>,
) -> Result<T, Fault> {
    within(console, COUNTING, look).await
}

async fn within<T>(
    console: &Console,
    settings: &str,
    look: impl AsyncFnOnce(&Client) -> Result<T, Error>,
) -> Result<T, Fault> {
    let session = console.postgres().await?;
    let begin = scoped::begin("read only", &postgres::session(settings));
    let found = scoped::looking(&session, &begin, look(&session)).await.map_err(failed)?;
    session.done();
    found.map_err(failed)
}

/// Redis, to ask it about streams.
///
/// # Errors
/// Redis cannot be reached.
pub(super) async fn streams(console: &Console) -> Result<Streams, Fault> {
    let redis = console.redis().await?;
    Ok(Streams::over(redis, console.config().redis.user()))
}

/// Why a server gave no answer, and what to do.
pub(super) fn told(server: &str, fault: &Fault) -> Markup {
    if fault.kind().may_pass() {
        return unreachable(server, fault);
    }
    problem(server, &fault.what(), fault.to_do().unwrap_or_default())
}
