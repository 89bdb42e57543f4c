//! What an append sends, and what its answer means: the same for every sink over Redis Streams.

use bytes::Bytes;

use super::{AppendError, Refusal};
use crate::relay::encode::{Entries, Entry};
use outflow_connect::redis::{Args, Failure, Redis, Reply};

/// Error codes that Redis answers before it runs anything: nothing was appended. Scripts catch what
/// is refused in their middle and answer with it; any other error counts as an unknown outcome.
const NOTHING_RAN: [&str; 16] = [
    "OOM",
    "READONLY",
    "LOADING",
    "NOREPLICAS",
    "MISCONF",
    "NOPERM",
    "NOAUTH",
    "WRONGPASS",
    "MASTERDOWN",
    "BUSY",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "CROSSSLOT",
    "MOVED",
    "ASK",
    "NOSCRIPT",
];

/// The keys of an append: the journal, and on a cluster the streams too. Only then does a node say
/// that one of them is on its way elsewhere. Not told, it would append to a stream of the same name
/// that it makes anew, which the move then overwrites.
pub(in crate::relay) fn keys<'a>(
    redis: &Redis,
    journal: &'a str,
    entries: &'a Entries,
) -> Vec<&'a str> {
    let streams = entries.streams.iter().map(String::as_str).filter(|_| redis.is_cluster());
    std::iter::once(journal).chain(streams).collect()
}

/// At most how many arguments [`push_entries`] adds.
pub(in crate::relay) fn arguments(entries: &Entries) -> usize {
    let names: usize = entries.shapes.iter().map(|shape| shape.len() + 1).sum();
    2 + entries.streams.len() + names + 3 * entries.entries.len() + entries.values.len()
}

/// The streams, the shapes, and the values of the entries, as the append scripts take them.
pub(in crate::relay) fn push_entries(args: &mut Args, entries: &Entries) {
    args.int(count(entries.streams.len()));
    for stream in &entries.streams {
        args.text(stream.as_str());
    }
    args.int(count(entries.shapes.len()));
    for shape in &entries.shapes {
        args.int(count(shape.len()));
        for name in shape {
            args.word(name);
        }
    }
    let mut values = entries.values.iter();
    for run in
        entries.entries.chunk_by(|one, next| (one.stream, one.shape) == (next.stream, next.shape))
    {
        let Entry { stream, shape, .. } = run[0];
        args.int(count(run.len())).int(count(stream)).int(count(shape));
        for value in values.by_ref().take(run.len() * entries.shapes[shape].len()) {
            args.push(value.clone());
        }
    }
}

/// What an append comes to whose script gave no answer.
pub(in crate::relay) fn not_answered(failure: &Failure) -> AppendError {
    let nothing_ran = failure.is_unknown_command()
        || failure.code().is_some_and(|code| NOTHING_RAN.contains(&code));
    match failure {
        Failure::NotSent(_) => AppendError::Unavailable(failure.to_string()),
        Failure::Refused(_) if nothing_ran => AppendError::Unavailable(failure.to_string()),
        Failure::Refused(_) | Failure::Unknown(_) => AppendError::Unknown(failure.to_string()),
    }
}

/// What an append script's answer says.
pub(in crate::relay) fn outcome(reply: &Reply) -> Result<Vec<Refusal>, AppendError> {
    let texts: Option<Vec<&Bytes>> = reply.items().iter().map(Reply::text).collect();
    let texts: Vec<String> = texts.unwrap_or_default().into_iter().map(lossy).collect();
    let Some((verdict, rest)) = texts.split_first() else {
        return Err(AppendError::Unknown(unexpected(reply)));
    };
    match (verdict.as_str(), rest) {
        ("OK", refused) => Ok(refusals(refused)),
        ("NOTHING", refused) => Err(AppendError::Refused(refusals(refused))),
        ("FENCED", [generation]) => {
            Err(AppendError::Fenced(generation.parse().unwrap_or_default()))
        }
        ("ROLLED_BACK", [what]) => Err(AppendError::RolledBack(what.clone())),
        ("REFUSED", [message]) => Err(AppendError::Unavailable(format!(
            "Redis refused: {}",
            message.trim_start_matches('-')
        ))),
        ("HALF_DONE", [message]) => Err(AppendError::Unknown(format!(
            "Redis appended, but refused to move the journal on: {}",
            message.trim_start_matches('-')
        ))),
        _ => Err(AppendError::Unknown(unexpected(reply))),
    }
}

/// Pairs of a stream and its error.
fn refusals(pairs: &[String]) -> Vec<Refusal> {
    let refusal = |pair: &[String]| Refusal {
        stream: pair[0].clone(),
        message: pair[1].trim_start_matches('-').to_owned(),
    };
    pairs.chunks_exact(2).map(refusal).collect()
}

/// A batch's number; 0 if there is none.
pub(in crate::relay) fn number(reply: &Reply) -> u64 {
    reply.int().and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

pub(in crate::relay) fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

pub(in crate::relay) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(in crate::relay) fn lossy(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(in crate::relay) fn unexpected(reply: &Reply) -> String {
    format!("Redis gave an answer that does not fit the question: {}", reply.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(texts: &[&'static str]) -> Reply {
        Reply::List(
            texts.iter().map(|text| Reply::Text(Bytes::from_static(text.as_bytes()))).collect(),
        )
    }

    /// A server that has no EVALSHA has run nothing: that is no doubt.
    #[test]
    fn a_command_that_the_server_does_not_have_is_an_outage() {
        let refused = |message: &str| not_answered(&Failure::Refused(message.to_owned()));
        let absent = refused("ERR unknown command 'EVALSHA'");
        assert!(matches!(absent, AppendError::Unavailable(_)), "{absent:?}");
        let midway = refused("ERR Unknown Redis command called from script script: 5a");
        assert!(matches!(midway, AppendError::Unknown(_)), "{midway:?}");
    }

    /// Only what is certain is an outage: after anything else the relay recovers.
    #[test]
    fn what_was_half_done_is_a_doubt() {
        let full = outcome(&answer(&["REFUSED", "-OOM full"]));
        assert_eq!(full, Err(AppendError::Unavailable("Redis refused: OOM full".to_owned())));
        for texts in [["HALF_DONE", "-OOM full"], ["SOMETHING", "else"]] {
            let doubt = outcome(&answer(&texts));
            assert!(matches!(doubt, Err(AppendError::Unknown(_))), "{doubt:?}");
        }
    }
}
