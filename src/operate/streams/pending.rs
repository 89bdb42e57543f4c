//! The entries that a group was given and has not acknowledged.

use serde::Serialize;

use super::{Streams, is_absent, seconds};
use outflow_connect::redis::{Args, Reply};
use outflow_consumer::EntryId;
use outflow_core::fault::Fault;

/// An entry that waits for its acknowledgement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pending {
    /// Its id.
    pub id: String,
    /// Who has it.
    pub consumer: String,
    /// Since when.
    pub idle_seconds: f64,
    /// How often it was delivered.
    pub deliveries: i64,
}

impl Streams {
    /// Some pending entries of a group, the oldest first, behind `after`; none if there is no such
    /// group.
    ///
    /// # Errors
    /// Redis refuses or does not answer.
    pub async fn pending(
        &self,
        stream: &str,
        group: &str,
        after: Option<EntryId>,
        take: usize,
    ) -> Result<Vec<Pending>, Fault> {
        let from = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
        let mut args = Args::from([stream, group, &from, "+"]);
        args.int(i64::try_from(take).unwrap_or(i64::MAX));
        match self.redis.call("XPENDING", args).await {
            Ok(reply) => Ok(reply.items().iter().filter_map(pending).collect()),
            Err(failure) if is_absent(&failure) || failure.code() == Some("NOGROUP") => {
                Ok(Vec::new())
            }
            Err(failure) => Err(self.forbidden(failure, "xpending")),
        }
    }
}

fn pending(item: &Reply) -> Option<Pending> {
    let [id, consumer, idle, deliveries] = item.items() else { return None };
    Some(Pending {
        id: id.string()?,
        consumer: consumer.string()?,
        idle_seconds: seconds(idle.int()?),
        deliveries: deliveries.int()?,
    })
}
