//! The tables of the kept outbox, one of each layout, and the relays that read them.

use std::fs;

use outflow_local::Outflow;

use super::Outcome;
use super::fill::{Rows, payload};
use super::stage::{LIMIT, Relay, Stage, binary};

/// A layout of the kept outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Plain,
    Ring,
}

/// As `outflow migrate` makes them; the ring has a partition a day for a week.
const COLUMNS: &str = "xid xid8 not null default pg_current_xact_id(), \
    id bigint generated always as identity, event_id uuid not null default gen_random_uuid(), \
    aggregate_type text not null, aggregate_id text not null, event_type text not null, \
    payload json not null, headers json not null default '{}', \
    created_at timestamptz not null default now()";
/// Rows of one insert.
const STEP: u64 = 500_000;

impl Layout {
    pub(crate) const ALL: [Self; 2] = [Self::Plain, Self::Ring];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Ring => "ring",
        }
    }

    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Plain => "public.kept_plain",
            Self::Ring => "public.kept_ring",
        }
    }

    /// Creates both tables and registers them, if no group did so before.
    pub(crate) async fn make(stage: &Stage) -> Outcome {
        if stage.number("select count(to_regclass('public.kept_plain'))").await? == 1 {
            return Ok(());
        }
        stage
            .sql(&format!(
                "create table public.kept_plain ({COLUMNS}, primary key (id)); \
                 create index on public.kept_plain (xid, id); \
                 create table public.kept_ring ({COLUMNS}) partition by list \
                 ((abs(extract(epoch from created_at at time zone 'UTC')::bigint / 86400) % 9)); \
                 create index on public.kept_ring (xid, id); create index on public.kept_ring (id)"
            ))
            .await?;
        for slot in 0..9 {
            stage
                .sql(&format!(
                    "create table public.kept_ring_p{slot} partition of public.kept_ring \
                     for values in ({slot})"
                ))
                .await?;
        }
        for layout in Self::ALL {
            layout
                .outflow(stage)?
                .succeed("migrate-kept", &["migrate", "--triggers"], LIMIT)
                .await?;
        }
        Ok(())
    }

    /// The commands over this table.
    pub(crate) fn outflow(self, stage: &Stage) -> Outcome<Outflow> {
        self.keeping(stage, "7d")
    }

    /// The same; rows are kept for so long.
    pub(crate) fn keeping(self, stage: &Stage, time: &str) -> Outcome<Outflow> {
        let dir = stage.path().join(format!("{}-{time}", self.name()));
        fs::create_dir_all(&dir)?;
        let outflow = Outflow::new(binary(), &dir);
        let more = format!(
            "[admin]\nlisten = \"127.0.0.1:0\"\n[[outbox]]\nname = \"{}\"\ntable = \"{}\"\n\
             settle = \"keep\"\n[outbox.keep]\nfor = \"{time}\"\n",
            self.name(),
            self.table()
        );
        outflow.configure(&stage.postgres.url(), &stage.redis.url(), &more)?;
        Ok(outflow)
    }

    /// Starts the relay of this table and waits until it is ready.
    pub(crate) async fn relay(self, stage: &Stage) -> Outcome<Relay> {
        stage.relay_of(&self.outflow(stage)?).await
    }

    /// Empties the streams and the table.
    pub(crate) async fn clear(self, stage: &Stage) -> Outcome {
        stage.clear_streams().await?;
        stage.sql(&format!("truncate {}; checkpoint", self.table())).await
    }

    /// Empties both, and fills the table.
    pub(crate) async fn refill(self, stage: &Stage, rows: Rows) -> Outcome {
        self.clear(stage).await?;
        self.fill(stage, rows, 0).await
    }

    /// Adds rows that were written so many days ago.
    pub(crate) async fn fill(self, stage: &Stage, rows: Rows, days: u32) -> Outcome {
        let (table, payload, mut first) = (self.table(), payload(rows.payload), 0);
        while first < rows.count {
            let last = rows.count.min(first + STEP) - 1;
            stage
                .sql(&format!(
                    "insert into {table} (aggregate_type, aggregate_id, event_type, payload, \
                     created_at) select 'order-0', (n % 1000)::text, 'OrderPlaced', '{payload}', \
                     now() - interval '{days} days' from generate_series({first}, {last}) as n"
                ))
                .await?;
            first = last + 1;
        }
        Ok(())
    }
}
