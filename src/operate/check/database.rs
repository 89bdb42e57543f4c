//! Postgres as a server: new enough and set up safely; and each table in it.

use jiff::Timestamp;
use tokio_postgres::Client;

use super::finding::{Findings, Known, Remedy, advice};
use super::reach::{Reached, reach};
use super::session::looking;
use super::{connections, event_table, horizon, kept_table, pauses, trial, trimming};
use crate::config::Config;
use crate::relay::options::Settle;
use crate::relay::outbox::schema_version;
use outflow_connect::postgres;

const ABOUT: &str = "postgres";
/// Clocks that differ by more make the age of events and `delivery_seconds` wrong.
const CLOCK_DIFFERENCE_MAX: f64 = 2.0;
/// Checks the server and each table. Returns what Redis must be asked about, one for each outbox.
pub(super) async fn check(config: &Config, findings: &mut Findings) -> Vec<Known> {
    let nothing = || config.outboxes.iter().map(|_| Known::default()).collect();
    let Some(Reached { server, client, is_direct }) = reach(config, findings).await else {
        return nothing();
    };
    if let Err(error) = server_itself(&client, findings).await {
        let fault = postgres::not_answered(error).at("cannot be asked");
        findings.fault(ABOUT, &fault, "see the server's log");
        return nothing();
    }
    schema_version(&client, findings).await;
    horizon::check(&client, findings).await;
    let mut known = Vec::new();
    for outbox in &config.outboxes {
        if let Settle::Keep(keep) = &outbox.settle {
            let (mut of_outbox, oid) = kept_table::check(&client, outbox, keep, findings).await;
            of_outbox.notes = trimming::noted(&client, outbox).await;
            known.push(of_outbox);
            if let Some(oid) = oid {
                let _ = pauses::check(&client, oid, outbox, findings).await;
            }
            continue;
        }
        let (mut of_outbox, table) = event_table::check(&client, outbox, findings).await;
        of_outbox.notes = trimming::noted(&client, outbox).await;
        known.push(of_outbox);
        if let Some(table) = &table {
            // What is wrong with the session is told where it matters more.
            let _ = pauses::check(&client, table.oid, outbox, findings).await;
        }
        // It sets what the relay sets for its sessions.
        if let Some(table) = table.filter(|_| is_direct) {
            trial::check(&server, outbox, table, findings).await;
        }
    }
    if is_direct {
        connections::check(&client, &server, config, findings).await;
    }
    known
}

/// Whether a relay could see that the schema is too new for it. What is in the way of everything
/// else is said elsewhere.
async fn schema_version(client: &Client, findings: &mut Findings) {
    if let Ok(Some(grant)) = looking(client, schema_version::grant(client)).await {
        let what = "this role may not read which version the schema outflow has, so the relay \
            cannot refuse a schema that only newer relays may work with";
        findings.warning(ABOUT, what, Remedy::Sql(grant));
    }
}

async fn server_itself(
    client: &Client,
    findings: &mut Findings,
) -> Result<(), tokio_postgres::Error> {
    let row = looking(client, client.query_one(include_str!("sql/server.sql"), &[])).await?;
    let (version, role): (String, String) = (row.get("version"), row.get("role"));
    // That it is new enough was asked when the session began.
    findings.ok(ABOUT, format!("version {version}, as role {role}"));
    if !row.get::<_, bool>("fsync") {
        let advice = advice(
            "switch it on where it is set (alter system set fsync = on, then select \
                pg_reload_conf()): after a crash of the machine, events and business rows may be \
                gone",
        );
        findings.warning(ABOUT, "fsync is off", advice);
    }
    let prepared: i32 = row.get("prepared_transactions");
    if prepared > 0 {
        let advice = advice(
            "if writers use it, set outbox.notify = false and run `outflow migrate --triggers` \
                (poll_interval bounds the wait)",
        );
        let what = "two-phase commit is switched on; PREPARE TRANSACTION refuses a transaction \
            that woke a relay";
        findings.warning(ABOUT, what, advice);
    }
    #[expect(clippy::cast_precision_loss, reason = "milliseconds are enough")]
    let difference =
        (row.get::<_, f64>("epoch") - Timestamp::now().as_millisecond() as f64 / 1_000.0).abs();
    if difference > CLOCK_DIFFERENCE_MAX {
        let what = format!(
            "the clocks of this server and of this machine differ by \
            {difference:.1} s"
        );
        findings.warning(
            ABOUT,
            what,
            advice("synchronize them, because the age of events is measured with both"),
        );
    }
    Ok(())
}
