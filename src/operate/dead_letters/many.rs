//! Acting on any number of dead letters: counted first, then some thousand in a transaction, the
//! oldest first. The audit says before it begins what is to be done, and afterwards what was.

use serde::Serialize;
use tokio_postgres::{Client, Error};
use tokio_util::sync::CancellationToken;

use super::act::{Act, Written, settle};
use super::audit::note;
use super::letter::Filter;
use super::{CHOOSE, choose, params};
use crate::config::Config;
use crate::operate::audit::Who;
use crate::operate::connect::{failed, untraced};
use outflow_core::fault::Fault;

/// Letters in one transaction.
const TOGETHER: i64 = 1_000;

/// How many letters a filter selects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// All of them.
    pub letters: i64,
    /// The greatest of their numbers.
    pub last: Option<i64>,
    /// By outbox and reason.
    pub of: Vec<(String, String, i64)>,
}

/// Counts the letters that pass `filter`.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn count(client: &Client, filter: &Filter) -> Result<Count, Error> {
    let chosen = CHOOSE.replace("{columns}", "id, outbox, reason");
    let counted = format!(
        "select outbox, reason, count(*), max(id) from ({chosen}) as chosen group by 1, 2 \
         order by 1, 2"
    );
    let mut count = Count::default();
    for row in client.query(&counted, &params(filter)).await? {
        let (letters, last): (i64, i64) = (row.get(2), row.get(3));
        count.letters += letters;
        count.last = count.last.max(Some(last));
        count.of.push((row.get(0), row.get(1), letters));
    }
    Ok(count)
}

/// Acts on all letters that pass `filter`, until it is done or stopped. `told` is called after each
/// transaction with how many it was until then. Returns how many it was.
///
/// # Errors
/// A [`Fault`], which says how many were acted on before.
pub async fn many(
    client: &mut Client,
    config: &Config,
    act: Act,
    who: &Who,
    filter: &Filter,
    stop: &CancellationToken,
    mut told: impl FnMut(u64),
) -> Result<u64, Fault> {
    let counted = count(client, filter).await.map_err(failed)?;
    record(client, act.name(), who, filter, &counted).await.map_err(untraced)?;
    let filter = Filter { last: counted.last, ..filter.clone() };
    let (mut next, mut done, mut of) = (filter.clone(), 0, Vec::new());
    let outcome = loop {
        if stop.is_cancelled() {
            break Ok(());
        }
        next.limit = Some(TOGETHER);
        let chosen = choose(client, &next).await.map_err(failed)?;
        let Some(last) = chosen.last().map(|letter| letter.id) else { break Ok(()) };
        match settle(client, config, act, who, &filter, &chosen, Written::Before).await {
            Ok(letters) => {
                done += letters.iter().map(|(_, letters)| letters).sum::<u64>();
                of.extend(letters);
            }
            Err(fault) => break Err(fault),
        }
        next.first = Some(last + 1);
        told(done);
    };
    let words = act.words().1;
    // What was done counts, and that it could not be noted is not worth an error of its own.
    let finished = Count { of: summed(of), ..Count::default() };
    let name = format!("{} done", act.name());
    if let Err(error) = record(client, &name, who, &filter, &finished).await {
        tracing::warn!(%error, "the end of it is not in outflow.audit");
    }
    outcome.map(|()| done).map_err(|fault| fault.at(format_args!("{done} {words}, then")))
}

/// One row an outbox, all or none.
async fn record(
    client: &mut Client,
    action: &str,
    who: &Who,
    filter: &Filter,
    count: &Count,
) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    let of = count.of.iter().map(|(outbox, _, letters)| (outbox.clone(), *letters));
    let of = summed(of.map(|(outbox, letters)| (outbox, letters.unsigned_abs())));
    for (outbox, _, letters) in &of {
        note(&transaction, who, action, outbox, letters.unsigned_abs(), filter).await?;
    }
    transaction.commit().await
}

/// For each outbox how many.
fn summed(of: impl IntoIterator<Item = (String, u64)>) -> Vec<(String, String, i64)> {
    let mut sums = std::collections::BTreeMap::<String, u64>::new();
    for (outbox, letters) in of {
        *sums.entry(outbox).or_default() += letters;
    }
    let signed = |letters| i64::try_from(letters).unwrap_or(i64::MAX);
    sums.into_iter().map(|(outbox, letters)| (outbox, String::new(), signed(letters))).collect()
}
