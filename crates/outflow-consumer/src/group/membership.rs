//! One process per name: who has it, who asks for it; and the state of the group.

use super::{Group, integer, number, unexpected};
use crate::id::EntryId;
use outflow_connect::redis::{Args, Failure};

/// What came of asking for our name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// It is ours.
    Ours,
    /// Another process has it, and is to answer.
    Challenged,
    /// Another process has it, and lives.
    Answered,
}

/// The state of the group on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupInfo {
    pub(crate) pending: u64,
    pub(crate) oldest_pending: Option<EntryId>,
    /// Entries that nobody has read yet; not always known (after deletions from the stream's
    /// middle).
    pub(crate) lag: Option<u64>,
    /// Entries that left the stream before they were read, since this was last asked.
    pub(crate) lost: u64,
    /// Redis's counter of reads is behind, and we may not set it right.
    pub(crate) is_denied: bool,
}

/// What a step of a sweep did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Swept {
    /// So many fields were removed; go on there, if anywhere.
    Fields(i64, Option<String>),
    /// Redis does not let us look.
    Denied,
}

impl Group {
    /// Asks for our name. `is_waiting`: we have asked before and were to wait; `is_overdue`: for
    /// long enough.
    pub(crate) async fn enter(
        &self,
        is_waiting: bool,
        is_overdue: bool,
    ) -> Result<Entered, Failure> {
        let flag = |is_set: bool| if is_set { "1" } else { "0" };
        let mut args = Args::from([self.consumer.as_str(), &self.token]);
        args.word(flag(is_waiting)).word(flag(is_overdue));
        let reply = self.commands.script(&self.enter, &[&self.state], args).await?;
        match reply.string().as_deref() {
            Some("entered") => Ok(Entered::Ours),
            Some("challenged") => Ok(Entered::Challenged),
            Some("answered") => Ok(Entered::Answered),
            _ => Err(unexpected("the enter script")),
        }
    }

    /// Answers whoever else asks for our name. Returns whether somebody did.
    pub(crate) async fn present(&self) -> Result<bool, Failure> {
        let args = Args::from([self.consumer.as_str(), &self.token]);
        let reply = self.commands.script(&self.present, &[&self.state], args).await?;
        reply.int().map(|challenges| challenges > 0).ok_or_else(|| unexpected("the present script"))
    }

    /// The state of the group. `is_new`: it was created just now, and what was trimmed before is no
    /// loss of its own.
    pub(crate) async fn group_info(&self, is_new: bool) -> Result<GroupInfo, Failure> {
        let args = Args::from([self.name.as_str(), if is_new { "1" } else { "0" }]);
        let reply = self.commands.script(&self.info, &[&self.stream, &self.state], args).await?;
        let [pending, oldest, lag, lost, denied] = reply.items() else {
            return Err(unexpected("the group_info script"));
        };
        Ok(GroupInfo {
            pending: number(pending),
            oldest_pending: oldest.string().and_then(|id| id.parse().ok()),
            lag: lag.int().and_then(|lag| u64::try_from(lag).ok()),
            lost: number(lost),
            is_denied: number(denied) == 1,
        })
    }

    /// Removes what points to entries that are not pending any more, a step at a time. `hash`:
    /// "keys" or "state".
    pub(crate) async fn sweep(&self, hash: &'static str, cursor: &str) -> Result<Swept, Failure> {
        let args = Args::from([self.name.as_str(), hash, cursor]);
        let keys = [self.stream.as_str(), &self.keys, &self.state];
        let reply = self.commands.script(&self.sweep, &keys, args).await?;
        let [cursor, removed] = reply.items() else { return Err(unexpected("the sweep script")) };
        let removed = removed.int().unwrap_or(integer(0));
        match cursor.string().as_deref() {
            Some("denied") => Ok(Swept::Denied),
            Some("0") => Ok(Swept::Fields(removed, None)),
            Some(cursor) => Ok(Swept::Fields(removed, Some(cursor.to_owned()))),
            None => Err(unexpected("the sweep script")),
        }
    }
}
