//! Who retried or discarded dead letters: an entry in the stream beside the dead letters.

use serde_json::{Value, json};

use super::dead_letters::{DeadFilter, DeadLetters};
use outflow_connect::redis::{Args, Failure};
use outflow_core::who::{host, os_user};

/// Entries that are kept, or a few more.
const KEPT: &str = "10000";
/// Ids of letters that an entry keeps.
const IDS_MAX: usize = 100;

impl DeadLetters {
    /// The stream of the audit. On a cluster it is another key's neighbour only if the dead
    /// letters' has a hash tag; no script needs both.
    pub fn audit_stream(&self) -> String {
        format!("{}.audit", self.stream)
    }

    /// Notes who does what to how many letters, and by which filter they were chosen: once before
    /// it begins, so that nothing is done without a trace, and once when it is done.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn note(
        &self,
        action: &str,
        letters: usize,
        filter: &DeadFilter,
    ) -> Result<(), Failure> {
        let (stream, letters) = (self.audit_stream(), letters.to_string());
        let (filter, user, host) = (shown(filter).to_string(), os_user(), host());
        let fields = [
            "action", action, "letters", &letters, "filter", &filter, "os_user", &user, "host",
            &host,
        ];
        let mut args = Args::from([stream.as_str(), "MAXLEN", "~", KEPT, "*"]);
        for field in fields {
            args.text(field);
        }
        self.redis.call("XADD", args).await.map(drop)
    }
}

/// What was asked for; nothing else.
fn shown(filter: &DeadFilter) -> Value {
    let DeadFilter { ids, reason, event_type, key, group, since, until, limit } = filter;
    let ids = ids
        .as_ref()
        .map(|ids| ids.iter().take(IDS_MAX).map(ToString::to_string).collect::<Vec<_>>());
    let mut shown = json!({
        "ids": ids, "reason": reason, "type": event_type, "key": key, "group": group,
        "since": since,
        "until": until,
        "limit": limit,
    });
    if let Value::Object(fields) = &mut shown {
        fields.retain(|_, value| !value.is_null());
    }
    shown
}
