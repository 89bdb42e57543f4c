//! An idle relay asks Redis now and then whether it could append: readiness means that it can
//! deliver, and without events nobody would notice that a server, a permission or the data is gone.
//! Postgres is asked by the claims and by the control connection.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Relay;
use super::outage::Outage;
use super::session::Session;
use super::trouble::Trouble;
use crate::relay::outbox::Outbox;
use crate::relay::sink::{AppendError, Sink};

/// After so long without an append Redis is asked. It costs one small script, and one small write
/// to its log.
pub(super) const ASK_PAUSE: Duration = Duration::from_secs(5);
/// An answer that takes longer is none.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

impl<O: Outbox, S: Sink> Relay<O, S> {
    /// Whether Redis would take a batch now; asks only if it was not heard for a while.
    ///
    /// Nothing is in doubt without an answer: see [`Sink::is_ready`].
    pub(super) async fn ready(
        &self,
        session: &Session,
        stop: &CancellationToken,
    ) -> Result<(), Trouble> {
        if session.silence() < ASK_PAUSE {
            return Ok(());
        }
        let answer = tokio::select! {
            answer = timeout(ANSWER_LIMIT, self.sink.is_ready(session.standstill())) => answer,
            () = stop.cancelled() => return Ok(()),
        };
        match answer {
            Ok(Ok(())) => {
                session.heard();
                Ok(())
            }
            Ok(Err(AppendError::Unknown(reason))) => Err(Trouble::Unavailable(reason)),
            Ok(Err(error)) => Err(error.into()),
            Err(_elapsed) => Err(Trouble::Unavailable(silent())),
        }
    }

    /// Waits for an answer of Redis, however long it takes; that it takes long is told before it is
    /// given up.
    pub(super) async fn noticed<T>(&self, answer: impl Future<Output = T>) -> T {
        let mut answer = std::pin::pin!(answer);
        match timeout(ANSWER_LIMIT, answer.as_mut()).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                self.observer.down(&silent());
                answer.await
            }
        }
    }

    /// Waits until the members change, and tells meanwhile whether Redis answers. A standby that
    /// could not take over is not ready.
    pub(super) async fn stand_by(&self, outage: &mut Outage<'_>, stop: &CancellationToken) {
        let changed = self.outbox.changed();
        let ask = async {
            loop {
                tokio::time::sleep(ASK_PAUSE).await;
                match timeout(ANSWER_LIMIT, self.sink.answers())
                    .await
                    .unwrap_or_else(|_elapsed| Err(silent()))
                {
                    Ok(()) => {
                        outage.over();
                        self.observer.up();
                    }
                    Err(reason) => {
                        outage.next_pause(&reason);
                        self.observer.down(&reason);
                    }
                }
            }
        };
        tokio::select! {
            () = changed => {}
            () = ask => {}
            never = self.keep_pauses() => match never {},
            () = stop.cancelled() => {}
        }
    }
}

fn silent() -> String {
    format!("Redis has not answered for {} s", ANSWER_LIMIT.as_secs())
}
