//! The kept outbox: how fast a backlog is read, in both layouts, beside the delete of pgbench and
//! the drain that deletes; with a horizon that is held, and of many rows.

use std::fs;
use std::time::Instant;

use outflow_local::Outflow;

use super::ceilings::{self, Cursor, as_f64};
use super::drain::{flow, once};
use super::figure::{Figure, Panel, Target, Unit, ratios};
use super::fill::{Rows, payload, refill};
use super::options::Group;
use super::run::Run;
use super::stage::{LIMIT, Stage, binary};
use super::{Outcome, cpu};

/// A layout, and the table that has it.
const LAYOUTS: [(&str, &str); 2] = [("plain", "public.kept_plain"), ("ring", "public.kept_ring")];
const COLUMNS: &str = "xid xid8 not null default pg_current_xact_id(), \
    id bigint generated always as identity, event_id uuid not null default gen_random_uuid(), \
    aggregate_type text not null, aggregate_id text not null, event_type text not null, \
    payload json not null, headers json not null default '{}', \
    created_at timestamptz not null default now()";
/// Rows of one insert.
const STEP: u64 = 500_000;

/// What one drain gave.
struct Read {
    whole: f64,
    cpu: [f64; 3],
}

/// All figures of the group.
pub(crate) async fn keep(run: &mut Run) -> Outcome {
    make(&run.stage).await?;
    let rows = Rows::usual(run.options.rows);
    let (mut deletes, mut drains) = (Vec::new(), Vec::new());
    let mut kept: [Vec<Read>; 2] = [Vec::new(), Vec::new()];
    let (mut held, mut large) = (Vec::new(), Vec::new());
    for number in run.rounds() {
        refill(&run.stage, rows).await?;
        deletes.push(ceilings::delete(&run.stage, rows.count, Cursor::Moves).await?);
        refill(&run.stage, rows).await?;
        drains.push(once(run, rows).await?.flow);
        for (kept, layout) in kept.iter_mut().zip(LAYOUTS) {
            refill_kept(&run.stage, layout.1, rows).await?;
            let read = read(run, layout, rows).await?;
            let shown = Unit::PerSecond.show(read.whole);
            run.says(&format!("keep {number}: {}: {shown}", layout.0));
            kept.push(read);
        }
        refill_kept(&run.stage, LAYOUTS[0].1, rows).await?;
        let idle = run.stage.idle_transaction().await?;
        held.push(read(run, LAYOUTS[0], rows).await?.whole);
        drop(idle);
        let many = Rows::usual(run.options.backlog_large);
        refill_kept(&run.stage, LAYOUTS[0].1, many).await?;
        large.push(read(run, LAYOUTS[0], many).await?.whole);
    }
    let figure = |name: &str, unit, samples| Figure::new(Group::Keep, name, unit, samples);
    let plain: Vec<f64> = kept[0].iter().map(|read| read.whole).collect();
    for ((layout, _), reads) in LAYOUTS.iter().zip(&kept) {
        let whole: Vec<f64> = reads.iter().map(|read| read.whole).collect();
        let name = format!("kept outbox ({layout}): drain, first to last append");
        run.add(figure(&name, Unit::PerSecond, whole.clone()).drawn(Panel::Drain));
        let against = format!("the same ({layout}) ÷ pgbench's delete");
        let against = figure(&against, Unit::Ratio, ratios(&whole, &deletes));
        run.add(against.target(Target::AtLeast(1.3)));
        let beside = format!("the same ({layout}) ÷ the drain that deletes");
        run.add(figure(&beside, Unit::Ratio, ratios(&whole, &drains)));
        for (who, name) in ["relay", "Postgres", "Redis"].into_iter().enumerate() {
            let cpu = reads.iter().map(|read| read.cpu[who]).collect();
            let name = format!("the same ({layout}), CPU an event: {name}");
            run.add(figure(&name, Unit::Microseconds, cpu));
        }
    }
    let name = "the same (plain), with an idle transaction open ÷ without";
    run.add(figure(name, Unit::Ratio, ratios(&held, &plain)).target(Target::AtLeast(0.95)));
    let name = "the same (plain), of the large backlog ÷ of the usual one";
    run.add(figure(name, Unit::Ratio, ratios(&large, &plain)).target(Target::AtLeast(0.9)));
    Ok(())
}

async fn make(stage: &Stage) -> Outcome {
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
    for layout in LAYOUTS {
        outflow(stage, layout)?.succeed("migrate-kept", &["migrate"], LIMIT).await?;
    }
    Ok(())
}

/// The relay over one of the tables.
fn outflow(stage: &Stage, (layout, table): (&str, &str)) -> Outcome<Outflow> {
    let dir = stage.path().join(layout);
    fs::create_dir_all(&dir)?;
    let outflow = Outflow::new(binary(), &dir);
    let more = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[[outbox]]\nname = \"{layout}\"\ntable = \"{table}\"\n\
         settle = \"keep\"\n"
    );
    outflow.configure(&stage.postgres.url(), &stage.redis.url(), &more)?;
    Ok(outflow)
}

async fn refill_kept(stage: &Stage, table: &str, rows: Rows) -> Outcome {
    stage.clear_streams().await?;
    stage.sql(&format!("truncate {table}; checkpoint")).await?;
    let (payload, mut first) = (payload(rows.payload), 0);
    while first < rows.count {
        let last = rows.count.min(first + STEP) - 1;
        stage
            .sql(&format!(
                "insert into {table} (aggregate_type, aggregate_id, event_type, payload) \
                 select 'order-0', (n % 1000)::text, 'OrderPlaced', '{payload}' \
                 from generate_series({first}, {last}) as n"
            ))
            .await?;
        first = last + 1;
    }
    Ok(())
}

async fn read(run: &Run, layout: (&str, &str), rows: Rows) -> Outcome<Read> {
    let stage = &run.stage;
    let outflow = outflow(stage, layout)?;
    let (relay_before, servers_before) = (cpu::of_ended_children()?, stage.server_cpu()?);
    let started = Instant::now();
    outflow.succeed("once-kept", &["run", "--once"], LIMIT).await?;
    let took = started.elapsed();
    let (relay, servers) = (cpu::of_ended_children()?, stage.server_cpu()?);
    let spent = [relay - relay_before, servers.0 - servers_before.0, servers.1 - servers_before.1];
    let whole = flow(stage.span().await?, rows)?;
    run.says(&format!("keep: {} rows took {took:.1?}", rows.count));
    Ok(Read { whole, cpu: spent.map(|seconds| seconds * 1e6 / as_f64(rows.count)) })
}
