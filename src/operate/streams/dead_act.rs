//! Retrying and discarding the dead letters of consumers, a few at a time, so that any number of
//! them costs no more memory than one page.

use std::time::Duration;

use futures_util::future::join;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::dead::{Progress, Selection, id, text};
use super::entries::{ALL, Bounds, Walked};
use super::{Look, Seen, Streams, failed};
use crate::operate::audit::{Who, record};
use crate::operate::connect::untraced;
use crate::operate::dead_letters::Act;
use crate::operate::stopping::{AUDIT_PATIENCE, ended, is_overdue};
use outflow_connect::redis::Failure;
use outflow_consumer::{DeadLetters, EntryId, Retried, Source};
use outflow_core::fault::Fault;

/// Letters that are acted on before more are read.
const TOGETHER: usize = 1_000;
/// How much is read to act on.
const ACT: Bounds =
    Bounds { looked: 50_000, bytes: 64 * 1024 * 1024, limit: Duration::from_secs(10) };

/// Retries or discards the letters that are selected, the oldest first. Both audits say before it
/// begins what is to be done, and afterwards what was. `outbox`: who writes the stream.
///
/// # Errors
/// A [`Fault`], which says how many were acted on before. What has begun has its end in the audit.
#[expect(clippy::too_many_arguments, reason = "who does what to which, where, and how far it is")]
pub async fn act(
    streams: &Streams,
    client: &Client,
    who: &Who,
    act: Act,
    (outbox, source): (&str, &str),
    (selection, counted): (&Selection, usize),
    stop: &CancellationToken,
    mut told: impl FnMut(Progress),
) -> Result<Progress, Fault> {
    let dead = DeadLetters::with_connection(streams.redis.clone(), Source::new(source));
    let (name, word) = match act {
        Act::Retry => ("retry", "retry stream dead letters"),
        Act::Discard => ("discard", "discard stream dead letters"),
    };
    let (filter, mut noted) = (selection.filter(), selection.noted(source));
    record(client, who, word, outbox, counted as u64, &noted).await.map_err(untraced)?;
    let mut progress = Progress::default();
    let told_redis = dead.note(name, counted, &filter).await;
    let has_begun = told_redis.is_ok();
    let outcome = match told_redis {
        Ok(()) => {
            let steps =
                steps((&dead, streams, source), act, selection, stop, &mut progress, &mut told);
            tokio::select! {
                outcome = steps => outcome,
                () = is_overdue(stop) => Err(Fault::failed("it was stopped within a step")),
            }
        }
        Err(failure) => {
            let stream = dead.audit_stream();
            Err(streams.forbidden(failure, &format!("xadd ~{stream}")).at("nothing was done"))
        }
    };
    // What was done counts; that the end of it is not noted is worth no error of its own.
    let done = usize::try_from(progress.done).unwrap_or(usize::MAX);
    let end = json!(ended(outcome.is_ok(), stop));
    if let Value::Object(fields) = &mut noted {
        fields.insert("end".to_owned(), end);
    }
    let word = format!("{word} done");
    let at_end = join(
        async {
            if has_begun { dead.note(&format!("{name} done"), done, &filter).await } else { Ok(()) }
        },
        record(client, who, &word, outbox, progress.done, &noted),
    );
    let noted = match timeout(AUDIT_PATIENCE, at_end).await {
        Ok((redis, postgres)) => redis.map_err(failed).and(postgres.map_err(untraced)),
        Err(_elapsed) => Err(Fault::unreachable("a server does not answer")),
    };
    if let Err(error) = noted {
        tracing::warn!(%error, "the end of it is not in the audit");
    }
    let (done, words) = (progress.done, act.words().1);
    match outcome {
        Ok(()) => Ok(progress),
        Err(fault) if has_begun => Err(fault.at(format_args!("{done} {words}, then"))),
        Err(fault) => Err(fault),
    }
}

/// Some letters after others, until there are no more or it is stopped.
async fn steps(
    (dead, streams, source): (&DeadLetters, &Streams, &str),
    act: Act,
    selection: &Selection,
    stop: &CancellationToken,
    progress: &mut Progress,
    told: &mut impl FnMut(Progress),
) -> Result<(), Fault> {
    let mut after = EntryId::default();
    while !stop.is_cancelled() {
        let some = chosen(streams, dead.stream(), selection, after, stop).await?;
        let settled = settle((dead, source), act, &some.letters, progress, stop, told).await;
        settled.map_err(failed)?;
        match some.next {
            Some(next) => after = next,
            None => break,
        }
    }
    Ok(())
}

/// Some letters: their ids, and where they came from.
struct Batch {
    letters: Vec<(String, String)>,
    /// From where to go on.
    next: Option<EntryId>,
}

async fn chosen(
    streams: &Streams,
    stream: &str,
    selection: &Selection,
    after: EntryId,
    stop: &CancellationToken,
) -> Result<Batch, Fault> {
    let (mut letters, mut is_behind) = (Vec::new(), false);
    let walk = streams.walk(stream, &ALL, Look::After(after), ACT, |item| {
        is_behind = selection.is_behind(item);
        if !is_behind && selection.lets_through(item) {
            letters.extend(id(item).map(|id| (id, text(item, "dead_stream"))));
        }
        !is_behind && letters.len() < TOGETHER && !stop.is_cancelled()
    });
    let Walked { last, seen, .. } = walk.await?;
    let next = last.and_then(|last| last.parse().ok());
    Ok(Batch { letters, next: next.filter(|_| !is_behind && seen != Seen::All) })
}

async fn settle(
    (dead, source): (&DeadLetters, &str),
    act: Act,
    letters: &[(String, String)],
    progress: &mut Progress,
    stop: &CancellationToken,
    told: &mut impl FnMut(Progress),
) -> Result<(), Failure> {
    if act == Act::Discard && !letters.is_empty() && !stop.is_cancelled() {
        let ids: Vec<&str> = letters.iter().map(|(id, _)| id.as_str()).collect();
        let done = dead.delete(&ids).await?;
        progress.done += done;
        progress.not_done += (letters.len() as u64).saturating_sub(done);
        told(*progress);
        return Ok(());
    }
    // One after the other: in their order.
    for (id, stream) in letters {
        if stop.is_cancelled() {
            break;
        }
        // Not put there by a consumer of this stream: nobody knows where it belongs.
        let is_done =
            stream == source && matches!(dead.put_back(id, stream).await?, Retried::As(_));
        progress.done += u64::from(is_done);
        progress.not_done += u64::from(!is_done);
        told(*progress);
    }
    Ok(())
}
