//! Retrying and discarding dead letters that were chosen: all or nothing, in one transaction, which
//! says in the audit what it does.

use std::collections::BTreeMap;

use tokio_postgres::{Client, Transaction};

use super::audit::note;
use super::letter::{Chosen, Filter};
use super::{discard, put_back};
use crate::config::Config;
use crate::operate::audit::Who;
use crate::operate::connect::{failed, untraced};
use crate::relay::options::OutboxOptions;
use outflow_connect::postgres::{self, scoped};
use outflow_core::fault::Fault;

/// For a transaction, never for the session: behind a pooler that is somebody else's next.
pub const SETTINGS: &str = "set statement_timeout = '5min'; set lock_timeout = '10s';";

/// What to do with dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Put them back to where they came from.
    Retry,
    /// Delete them.
    Discard,
}

impl Act {
    /// What is asked about, and what was done.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Retry => ("Retry", "retried"),
            Self::Discard => ("Permanently delete", "discarded"),
        }
    }

    /// As the audit has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry dead letters",
            Self::Discard => "discard dead letters",
        }
    }
}

/// Where the audit says what is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// In the transaction that does it.
    Here,
    /// In an earlier one.
    Before,
}

/// Acts on these letters, each outbox's in the order in which they are given. Returns how many
/// there were: somebody else may have taken some.
///
/// # Errors
/// A [`Fault`]: nothing was done.
pub async fn act(
    client: &mut Client,
    config: &Config,
    act: Act,
    who: &Who,
    filter: &Filter,
    chosen: &[Chosen],
) -> Result<u64, Fault> {
    let done = settle(client, config, act, who, filter, chosen, Written::Here).await?;
    Ok(done.iter().map(|(_, letters)| letters).sum())
}

/// As [`act`]. Returns how many there were of each outbox.
pub(super) async fn settle(
    client: &mut Client,
    config: &Config,
    act: Act,
    who: &Who,
    filter: &Filter,
    chosen: &[Chosen],
    written: Written,
) -> Result<Vec<(String, u64)>, Fault> {
    let transaction = client.transaction().await.map_err(failed)?;
    transaction
        .batch_execute(&scoped::local(&postgres::session(SETTINGS)))
        .await
        .map_err(failed)?;
    let mut of_outbox: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for letter in chosen {
        of_outbox.entry(&letter.outbox).or_default().push(letter.id);
    }
    let mut done = Vec::new();
    for (name, ids) in of_outbox {
        let letters = match act {
            Act::Retry => back(&transaction, config, name, &ids).await?,
            Act::Discard => discard(&transaction, &ids).await.map_err(failed)?,
        };
        if written == Written::Here {
            let noted = note(&transaction, who, act.name(), name, letters, filter).await;
            noted.map_err(untraced)?;
        }
        done.push((name.to_owned(), letters));
    }
    transaction.commit().await.map_err(failed)?;
    Ok(done)
}

async fn back(
    transaction: &Transaction<'_>,
    config: &Config,
    name: &str,
    ids: &[i64],
) -> Result<u64, Fault> {
    let outbox = config.outboxes.iter().find(|outbox| outbox.name == name);
    let outbox: &OutboxOptions = outbox.ok_or_else(|| {
        let known: Vec<&str> = config.outboxes.iter().map(|outbox| outbox.name.as_str()).collect();
        Fault::configuration(format!(
            "outbox {name:?} is not in this configuration, which has {}",
            known.join(", ")
        ))
        .remedy("give the one that drains it with --config, or leave it out with --outbox")
    })?;
    let put = put_back(transaction, outbox, ids).await;
    put.map_err(|fault| fault.at("nothing was put back"))
}
