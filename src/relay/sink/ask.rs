//! What is asked of a journal, whether the settled rows of its outbox are deleted or kept.

use super::wire::{number, unexpected};
use super::{GENERATIONS_KEPT, KeptRaised, Raised, journal};
use crate::relay::event::Acknowledged;
use outflow_connect::redis::{Args, Redis, Reply, Script};

/// Raises a journal to a new generation.
#[derive(Debug)]
pub(in crate::relay) struct Raise(Script);

impl Default for Raise {
    fn default() -> Self {
        Self(Script::new(include_str!("raise.lua")))
    }
}

impl Raise {
    /// Raises the journal above `known` and its own generation. `names`: by which columns the rows
    /// of the new generation are named. `server`: which Postgres this is, to be known from now on;
    /// empty: as it was. `drawn`: what the installation of a kept outbox will show; else empty. The
    /// answer has what is known of a kept outbox, too.
    ///
    /// # Errors
    /// Why it could not; repeating it is safe.
    pub(in crate::relay) async fn run(
        &self,
        redis: &Redis,
        key: &str,
        known: i64,
        [names, server, drawn]: [&str; 3],
    ) -> Result<Raised, String> {
        let mut args = Args::with_capacity(4);
        args.int(known).text(names).text(server).text(drawn);
        let reply = redis.script(&self.0, &[key], args).await.map_err(|f| f.to_string())?;
        let [generation, previous, batches, last, members, copied, server] = reply.items() else {
            return Err(unexpected(&reply));
        };
        let mut appended = Vec::new();
        for batch in batches.items().chunks_exact(2) {
            let [Some(names), Some(record)] = [&batch[0], &batch[1]].map(Reply::text) else {
                return Err(unexpected(&reply));
            };
            appended.extend(journal::unpack(record, names).map_err(|error| error.to_string())?);
        }
        let generation = generation.int().ok_or_else(|| unexpected(&reply))?;
        let pieces = |pair: &[Reply]| Some((member(&pair[0].string()?)?, pair[1].string()?));
        let kept = KeptRaised {
            members: members.items().chunks_exact(2).filter_map(pieces).collect(),
            copied: numbers(copied, "copied:"),
        };
        let server = server.string().filter(|server| !server.is_empty());
        let last = numbers(last, "last:");
        let previous = previous.int();
        Ok(Raised { generation, previous, appended, last, server, kept: Some(kept) })
    }
}

/// Number of the last batch that a member appended in a generation; see
/// [`Sink::last_batch`](super::Sink::last_batch).
///
/// # Errors
/// Why it could not be asked.
pub(in crate::relay) async fn last_batch(
    redis: &Redis,
    key: &str,
    generation: i64,
    member: i32,
) -> Result<Option<u64>, String> {
    // In one answer, for the numbers go when the generation rises.
    let fields = Args::from([key, "generation", &format!("last:{generation}:{member}")]);
    let reply = redis.call("HMGET", fields).await.map_err(|failure| failure.to_string())?;
    let [known, last] = reply.items() else { return Err(unexpected(&reply)) };
    let is_kept = known.int().is_none_or(|known| generation >= known - GENERATIONS_KEPT);
    Ok(is_kept.then(|| number(last)))
}

/// Whether Redis answers at all.
///
/// # Errors
/// Why it does not.
pub(in crate::relay) async fn answers(redis: &Redis, key: &str) -> Result<(), String> {
    let generation = Args::from([key, "generation"]);
    redis.call("HGET", generation).await.map(drop).map_err(|failure| failure.to_string())
}

/// The member that a field `kept:<member>` is of.
pub(in crate::relay) fn member(field: &str) -> Option<i32> {
    field.strip_prefix("kept:")?.parse().ok()
}

/// What a field `last:<generation>:<member>` says, or one with another prefix.
pub(in crate::relay) fn acknowledged(
    prefix: &str,
    field: &str,
    batch: &Reply,
) -> Option<Acknowledged> {
    let (generation, member) = field.strip_prefix(prefix)?.split_once(':')?;
    Some(Acknowledged {
        generation: generation.parse().ok()?,
        member: member.parse().ok()?,
        batch: number(batch),
    })
}

/// The same of several: field and number, one after the other.
fn numbers(pairs: &Reply, prefix: &str) -> Vec<Acknowledged> {
    let one = |pair: &[Reply]| acknowledged(prefix, &pair[0].string()?, &pair[1]);
    pairs.items().chunks_exact(2).filter_map(one).collect()
}
