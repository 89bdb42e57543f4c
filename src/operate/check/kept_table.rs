//! One kept event table: what every event table needs, what a position rests on, and whether old
//! rows can be removed.

use tokio_postgres::Client;

use super::event_table::{order_column, tell, trigger, waiting};
use super::finding::{Findings, Known, Remedy, about, advice};
use super::hazards;
use super::session::{BEGIN, looking};
use super::trial;
use crate::relay::kept::ring::Ring;
use crate::relay::kept::table::{Partition, Shape, Table, foreign};
use crate::relay::options::{Keep, OutboxOptions};
use outflow_connect::postgres::{describe, not_answered, scoped};
use outflow_core::fault::FaultKind;
use outflow_core::table_name::quote_identifier;

const WAKE: &str = "select tgenabled::text as wake, current_user::text as role, \
    pg_catalog.has_table_privilege($1::oid, 'delete') as may_delete \
    from (select) as always left join pg_catalog.pg_trigger on tgrelid = $1::oid and tgname = \
    'outflow_wake'";

/// Functions that a position rests on and this role may not call: everybody may, unless a hosted
/// server takes that away.
const REFUSED: &str = "select p.oid::regprocedure::text as name, quote_ident(current_user) as role \
    from pg_catalog.pg_proc p where p.pronamespace = 'pg_catalog'::regnamespace \
    and p.proname = any(array['pg_control_system', 'pg_current_wal_insert_lsn', \
    'pg_current_wal_flush_lsn', 'pg_walfile_name', 'pg_logical_emit_message']) \
    and not pg_catalog.has_function_privilege(p.oid, 'execute') order by 1";

/// Checks it. Returns what Redis must be asked about, and the table's oid if it can be read.
pub(super) async fn check(
    client: &Client,
    outbox: &OutboxOptions,
    keep: &Keep,
    findings: &mut Findings,
) -> (Known, Option<u32>) {
    let about = &about(outbox);
    let mut known = Known::default();
    let examined = scoped::looking(client, BEGIN, Table::examine(client, outbox)).await;
    let examined = match examined.unwrap_or_else(|error| Err(not_answered(error))) {
        Ok(examined) => examined,
        Err(fault) => {
            let fault = fault.at(format_args!("cannot inspect {}", outbox.table));
            findings.fault(about, &fault, "see the server's log");
            return (known, None);
        }
    };
    tell(&examined.problems, about, findings);
    let Some(table) = examined.table else { return (known, None) };
    findings.ok(
        about,
        format!("{} has its columns, indexes, privileges and registration", outbox.table),
    );
    known.journal = Some(table.journal.clone());
    order_column(client, outbox, findings, about).await;
    let rest = Rest { client, outbox, keep, about };
    if let Err(error) = rest.check(&table, findings).await {
        let what = format!("cannot inspect the kept table: {}", describe(&error));
        findings.warning(about, what, advice("run `outflow check` as the owner of the table"));
    }
    // What is wrong with the session is told where it matters more.
    let _ = trial::check_kept(client, outbox, keep, &table, findings).await;
    match waiting(client, outbox).await {
        Ok(streams) => known.streams = streams,
        Err(error) => {
            let what = format!("cannot read the waiting events: {}", describe(&error));
            findings.warning(about, what, advice("check the index of the order column"));
        }
    }
    (known, Some(table.oid))
}

/// What does not keep the table from being read.
struct Rest<'a> {
    client: &'a Client,
    outbox: &'a OutboxOptions,
    keep: &'a Keep,
    about: &'a str,
}

impl Rest<'_> {
    async fn check(
        &self,
        table: &Table,
        findings: &mut Findings,
    ) -> Result<(), tokio_postgres::Error> {
        let asked = async { self.client.query_one(WAKE, &[&table.oid]).await };
        let row = looking(self.client, asked).await?;
        if !hazards::is_disabled(row.get("wake"), self.outbox, self.about, findings) {
            trigger(table.has_trigger, self.outbox, findings, self.about);
        }
        let asked = async { self.client.query(REFUSED, &[]).await };
        for row in looking(self.client, asked).await? {
            let (name, role): (&str, &str) = (row.get("name"), row.get("role"));
            let what = format!(
                "role {role} may not call {name}, which tells whether Postgres was restored and \
                    what it has flushed; a kept outbox cannot do without"
            );
            let grant = format!("grant execute on function pg_catalog.{name} to {role};");
            findings.refused(self.about, what, Remedy::Sql(grant));
        }
        let role = quote_identifier(row.get("role"));
        match table.shape {
            Shape::Plain if row.get("may_delete") => {
                findings.ok(self.about, "the relay deletes old rows one by one");
            }
            Shape::Plain => {
                let grant = format!("grant delete on {} to {role};", self.outbox.table.quoted());
                findings.warning(self.about, CANNOT_REMOVE, Remedy::Sql(grant));
            }
            Shape::Ring(ring) => {
                let partitions = looking(self.client, table.partitions(self.client)).await?;
                self.ring(ring, &partitions, &role, findings);
            }
            Shape::Foreign => {
                let what = format!(
                    "{} has partitions or children that `outflow migrate` did not create, so the \
                        relay removes no old rows from it",
                    self.outbox.table
                );
                findings.warning(self.about, what, advice("remove old rows yourself"));
            }
        }
        let asked = foreign(self.client, self.outbox, self.keep);
        if let Some(row) = looking(self.client, asked).await? {
            let what = format!(
                "the row {row} has a transaction number that this server has not reached. The row \
                    comes from another server (a restored dump, logical replication) and would \
                    never count as sent"
            );
            let remedy = advice(format!(
                "stop its relays and run `outflow position set --outbox {}` with `--now` to skip \
                 such rows or `--beginning` to send every row; the command numbers the rows anew",
                self.outbox.name
            ));
            findings.wrong(FaultKind::Unfit, self.about, what, remedy);
        }
        Ok(())
    }

    fn ring(&self, ring: Ring, partitions: &[Partition], role: &str, findings: &mut Findings) {
        let (name, table) = (&self.outbox.table, self.outbox.table.quoted());
        let text = |duration| humantime::format_duration(duration).to_string();
        if ring.holds() < self.keep.keep {
            let what = format!(
                "the ring of {name} ({} partitions of one {} each) keeps rows for {}, but keep.for \
                 is {}",
                ring.slots,
                ring.unit_in_words(),
                text(ring.holds()),
                text(self.keep.keep)
            );
            let remedy = advice(format!(
                "set keep.for to {} or less, or use a table with a larger ring",
                text(ring.holds())
            ));
            findings.warning(self.about, what, remedy);
        } else {
            let what = format!(
                "a ring of {} partitions of one {} each keeps rows for {}",
                ring.slots,
                ring.unit_in_words(),
                text(self.keep.keep)
            );
            findings.ok(self.about, what);
        }
        for stranger in partitions.iter().filter(|partition| partition.slot.is_none()) {
            let what = format!(
                "the partition {} is not part of the ring; the relay reads it but never empties it",
                stranger.name
            );
            let detach = format!("alter table {table} detach partition {};", stranger.name);
            findings.warning(self.about, what, Remedy::Sql(detach));
        }
        for slot in 0..ring.slots {
            if !partitions.iter().any(|partition| partition.slot == Some(slot)) {
                let what = format!(
                    "the ring of {name} lacks the partition {slot}, and inserts fail when its \
                        turn comes"
                );
                let schema = quote_identifier(self.outbox.table.schema());
                let partition = quote_identifier(&format!("{}_p{slot}", self.outbox.table.table()));
                let create = format!(
                    "create table {schema}.{partition} partition of {table} for values in ({slot});"
                );
                findings.error(self.about, what, Remedy::Sql(create));
            }
        }
        let closed: Vec<&str> = partitions
            .iter()
            .filter(|partition| partition.slot.is_some() && !partition.may_truncate)
            .map(|partition| partition.name.as_str())
            .collect();
        if !closed.is_empty() {
            let grant = format!("grant truncate on {} to {role};", closed.join(", "));
            findings.warning(self.about, CANNOT_REMOVE, Remedy::Sql(grant));
        }
    }
}

const CANNOT_REMOVE: &str = "this role may not remove old rows; if the relay uses another \
    role, run `outflow check` as that role";
