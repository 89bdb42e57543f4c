//! Waiting until replicas have what was written.
//!
//! WAIT speaks of what its own connection has written, and a connection that has written nothing is
//! told at once that all replicas have it. fred may have made a new one between the command and
//! WAIT. So the connection is given a name that no other has, and asked for it behind WAIT: if it
//! still has it, all three were on the same one.

use std::time::Duration;

use futures_util::future::join;
use uuid::Uuid;

use outflow_core::fault::Fault;

use super::node::{BLOCKING_SLACK, Node, PATIENCE, Patience};
use super::{Args, Failure, Reply};

/// How long replicas may take before the outcome counts as unknown.
const LIMIT: Duration = Duration::from_secs(5);

impl Node {
    /// Sends a command and waits until the required number of replicas have its writes. The reply
    /// counts only then.
    pub(super) async fn send_and_wait(
        &self,
        command: &'static str,
        args: Args,
        patience: Patience,
    ) -> Result<Reply, Failure> {
        let mark = self.marked().await?;
        let reply =
            Box::pin(self.send(command, args, Patience { replicas: 0, ..patience })).await?;
        let outcome = self.reached(&mark, patience.replicas).await;
        if outcome.is_err() {
            // Whatever connection comes next, it is named anew.
            self.link.set_mark(None);
        }
        outcome.map(|()| reply)
    }

    /// Waits until so many replicas have what the connection of this name has written.
    async fn reached(&self, mark: &str, replicas: usize) -> Result<(), Failure> {
        let wanted = i64::try_from(replicas).unwrap_or(i64::MAX);
        let mut numbers = Args::with_capacity(2);
        numbers.int(wanted).int(i64::try_from(LIMIT.as_millis()).unwrap_or(i64::MAX));
        let blocking = Patience { timeout: LIMIT + BLOCKING_SLACK, blocks: true, ..PATIENCE };
        let replies = join(
            Box::pin(self.send("WAIT", numbers, blocking)),
            Box::pin(self.send("CLIENT", Args::from(["GETNAME"]), blocking)),
        )
        .await;
        let unknown = |what: String| Failure::Unknown(format!("{}: {what}", self.place));
        let (reached, name) = match replies {
            (Ok(reached), Ok(name)) => (reached.int().unwrap_or(0), name.string()),
            (Err(failure), _) | (_, Err(failure)) => {
                return Err(unknown(format!("replicas not asked: {failure}")));
            }
        };
        if name.as_deref() != Some(mark) {
            return Err(unknown(
                "the connection was replaced before the replicas had answered".to_owned(),
            ));
        }
        if reached < wanted {
            return Err(unknown(format!(
                "not on {wanted} replicas after {LIMIT:?}, but on {reached}"
            )));
        }
        Ok(())
    }

    /// The name that this connection has, and no other.
    async fn marked(&self) -> Result<String, Failure> {
        if let Some(mark) = self.link.mark() {
            return Ok(mark);
        }
        let mark = format!("outflow-{}", Uuid::new_v4());
        let named = Box::pin(self.send("CLIENT", Args::from(["SETNAME", &mark]), PATIENCE)).await;
        // Of what matters nothing was sent.
        named.map_err(|failure| match failure {
            Failure::Unknown(reason) => Failure::NotSent(Fault::unreachable(reason)),
            definite => definite,
        })?;
        self.link.set_mark(Some(mark.clone()));
        Ok(mark)
    }
}
