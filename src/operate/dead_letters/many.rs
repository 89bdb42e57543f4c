//! Acting on any number of dead letters: counted first, then some thousand in a transaction, the
//! oldest first. The audit says before it begins what is to be done, and afterwards what was.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;
use tokio_postgres::{Client, Error};
use tokio_util::sync::CancellationToken;

use super::act::{Act, Written, settle};
use super::audit::shown;
use super::letter::Filter;
use super::{CHOOSE, choose, params};
use crate::config::Config;
use crate::operate::audit::{Who, record};
use crate::operate::connect::{failed, to_postgres, untraced};
use crate::operate::stopping::{AUDIT_PATIENCE, STOP_PATIENCE, ended, is_overdue};
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

/// Acts on all letters that pass `filter`, until it is done or stopped. A stop lets the transaction
/// under way end, and cuts it off if it takes long. `told` is called after each transaction with
/// how many it was until then. Returns how many it was.
///
/// # Errors
/// A [`Fault`], which says how many were acted on before. What has begun has its end in the audit.
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
    let of = counted.of.iter().map(|(outbox, _, letters)| (outbox, letters.unsigned_abs()));
    let mut row = Row { action: act.name().to_owned(), who, filter, of: summed(of), end: None };
    row.write(client).await.map_err(untraced)?;
    let filter = Filter { last: counted.last, ..filter.clone() };
    row.of.values_mut().for_each(|letters| *letters = 0);
    let outcome = {
        let steps = steps(client, config, act, who, &filter, stop, &mut row.of, &mut told);
        tokio::select! {
            outcome = steps => Some(outcome),
            () = is_overdue(stop) => None,
        }
    };
    let is_cut = outcome.is_none();
    let outcome = outcome.unwrap_or_else(|| Err(cut_off()));
    row.action = format!("{} done", act.name());
    row.filter = &filter;
    row.end = Some(ended(outcome.is_ok(), stop));
    if let Err(fault) = row.write_somehow(client, config, is_cut).await {
        // What was done counts; that its end could not be noted is worth no error of its own.
        tracing::warn!(reason = %fault, "the end of it is not in outflow.audit");
    }
    let (done, words) = (row.of.values().sum::<u64>(), act.words().1);
    outcome.map(|()| done).map_err(|fault| fault.at(format_args!("{done} {words}, then")))
}

/// Transaction after transaction. `of`: how many it was of each outbox.
#[expect(clippy::too_many_arguments, reason = "as many, and how far it is")]
async fn steps(
    client: &mut Client,
    config: &Config,
    act: Act,
    who: &Who,
    filter: &Filter,
    stop: &CancellationToken,
    of: &mut BTreeMap<String, u64>,
    told: &mut impl FnMut(u64),
) -> Result<(), Fault> {
    let mut next = filter.clone();
    while !stop.is_cancelled() {
        next.limit = Some(TOGETHER);
        let chosen = choose(client, &next).await.map_err(failed)?;
        let Some(last) = chosen.last().map(|letter| letter.id) else { break };
        let settled = settle(client, config, act, who, filter, &chosen, Written::Before).await?;
        for (outbox, letters) in settled {
            *of.entry(outbox).or_default() += letters;
        }
        next.first = Some(last + 1);
        told(of.values().sum());
    }
    Ok(())
}

fn cut_off() -> Fault {
    let seconds = STOP_PATIENCE.as_secs();
    let what = format!(
        "the step under way did not end within {seconds} s of the stop and was cut off: it may \
         have done up to {TOGETHER} more"
    );
    Fault::failed(what).remedy("run the same again for the rest")
}

/// What the audit says of the act: one row an outbox, all or none.
struct Row<'a> {
    action: String,
    who: &'a Who,
    filter: &'a Filter,
    /// How many of each outbox.
    of: BTreeMap<String, u64>,
    /// How it ended; `None`: it begins.
    end: Option<&'static str>,
}

impl Row<'_> {
    async fn write(&self, client: &mut Client) -> Result<(), Error> {
        let mut filter = shown(self.filter);
        if let (Value::Object(fields), Some(end)) = (&mut filter, self.end) {
            fields.insert("end".to_owned(), end.into());
        }
        let transaction = client.transaction().await?;
        for (outbox, letters) in &self.of {
            let client = transaction.client();
            record(client, self.who, &self.action, outbox, *letters, &filter).await?;
        }
        transaction.commit().await
    }

    /// In a session of its own if the one of the act is busy or gone.
    async fn write_somehow(
        &self,
        client: &mut Client,
        config: &Config,
        is_busy: bool,
    ) -> Result<(), Fault> {
        if !is_busy && self.write(client).await.is_ok() {
            return Ok(());
        }
        let elsewhere = async {
            let mut other = to_postgres(config, "outflow audit").await?;
            self.write(&mut other).await.map_err(untraced)
        };
        match timeout(AUDIT_PATIENCE, elsewhere).await {
            Ok(written) => written,
            Err(_elapsed) => Err(Fault::unreachable("Postgres does not answer")),
        }
    }
}

/// For each outbox how many.
fn summed<'a>(of: impl IntoIterator<Item = (&'a String, u64)>) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (outbox, letters) in of {
        *sums.entry(outbox.clone()).or_default() += letters;
    }
    sums
}
