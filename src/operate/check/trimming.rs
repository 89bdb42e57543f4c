//! Why streams are not trimmed: groups that do not exist, and groups that do not read. A relay that
//! is at work says since when; without one, Redis is asked.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use super::finding::{Findings, Known, about, advice};
use super::session::looking;
use crate::observe::metrics::{Report, StreamNote};
use crate::operate::members;
use crate::relay::options::{OutboxOptions, TrimWhen};
use crate::relay::sink::written::Registry;
use outflow_connect::redis::{Args, Redis, Reply};

/// What the relays at work say. None if that cannot be asked: others say why.
pub(super) async fn noted(client: &Client, outbox: &OutboxOptions) -> Vec<StreamNote> {
    let members = looking(client, members::of(client, &outbox.table)).await.unwrap_or_default();
    let report = |row: &tokio_postgres::Row| {
        serde_json::from_value::<Report>(row.get::<_, Option<serde_json::Value>>("report")?).ok()
    };
    members.iter().filter_map(report).flat_map(|report| report.notes).collect()
}

pub(super) async fn check(
    redis: &Redis,
    outbox: &OutboxOptions,
    known: &Known,
    findings: &mut Findings,
) {
    for note in &known.notes {
        findings.warning(&about(outbox), note.what(), advice(note.remedy()));
    }
    let said: BTreeSet<&str> = known.notes.iter().map(|note| note.group.as_str()).collect();
    let unsaid: Vec<&String> =
        outbox.trim.groups.iter().filter(|group| !said.contains(group.as_str())).collect();
    if outbox.trim.when != TrimWhen::Consumed || unsaid.is_empty() {
        return;
    }
    let Some(existing) = groups(redis, outbox, known).await else { return };
    for group in unsaid.into_iter().filter(|group| !existing.contains(*group)) {
        let what =
            format!("no stream has the group {group:?} of trim.groups, so the relay trims nothing");
        let remedy = "start its consumer, or remove it from trim.groups";
        findings.warning(&about(outbox), what, advice(remedy));
    }
}

/// The groups of all streams that relays have written to; `None` if there is no stream, or if Redis
/// does not tell.
async fn groups(redis: &Redis, outbox: &OutboxOptions, known: &Known) -> Option<BTreeSet<String>> {
    let registry =
        Registry::new(redis.clone(), known.journal.as_deref()?, outbox.stream.hash_tag());
    let mut streams = registry.all().await.ok()?;
    if outbox.stream.columns().next().is_none() {
        streams.extend(outbox.stream.render(&[]));
    }
    let mut groups = None;
    for stream in streams {
        let found = redis.call("XINFO", Args::from(["GROUPS", &stream])).await.ok();
        let names = found.iter().flat_map(Reply::items).filter_map(name);
        if found.is_some() {
            groups.get_or_insert_with(BTreeSet::new).extend(names);
        }
    }
    groups
}

fn name(group: &Reply) -> Option<String> {
    let mut fields = group.items().chunks_exact(2);
    fields.find(|pair| pair[0].text().is_some_and(|field| field == "name"))?[1].string()
}
