//! The kept outbox: how fast a backlog is read, in both layouts, beside the delete of pgbench and
//! the drain that deletes; with a horizon that is held, and of many rows; and how fast it is
//! replayed.

use std::time::Instant;

use outflow_local::Outflow;

use super::ceilings::{self, Cursor, as_f64};
use super::drain::{flow, once};
use super::figure::{Figure, Panel, Target, Unit, ratios};
use super::fill::{Rows, refill};
use super::kept::Layout;
use super::options::Group;
use super::run::Run;
use super::stage::LIMIT;
use super::{Outcome, cpu};

/// What one drain gave.
pub(crate) struct Read {
    /// Events a second, from the start of the process to its end.
    pub(crate) whole: f64,
    /// Events a second between the first and the last append.
    flow: f64,
    /// CPU microseconds an event: relay, Postgres, Redis.
    cpu: [f64; 3],
}

/// All figures of the group.
pub(crate) async fn keep(run: &mut Run) -> Outcome {
    Layout::make(&run.stage).await?;
    let rows = Rows::usual(run.options.rows);
    let (mut deletes, mut drains) = (Vec::new(), Vec::new());
    let mut kept: [Vec<Read>; 2] = [Vec::new(), Vec::new()];
    let (mut held, mut large, mut replays) = (Vec::new(), Vec::new(), Vec::new());
    for number in run.rounds() {
        refill(&run.stage, rows).await?;
        deletes.push(ceilings::delete(&run.stage, rows.count, Cursor::Moves).await?);
        refill(&run.stage, rows).await?;
        drains.push(once(run, rows).await?);
        for (kept, layout) in kept.iter_mut().zip(Layout::ALL) {
            layout.refill(&run.stage, rows).await?;
            let read = read(run, layout, rows).await?;
            let shown = Unit::PerSecond.show(read.whole);
            run.says(&format!("keep {number}: {}: {shown}", layout.name()));
            kept.push(read);
        }
        Layout::Plain.refill(&run.stage, rows).await?;
        let idle = run.stage.idle_transaction().await?;
        held.push(read(run, Layout::Plain, rows).await?.whole);
        drop(idle);
        replays.push(replay(run, Layout::Plain, rows).await?);
        let many = Rows::usual(run.options.backlog_large);
        Layout::Plain.refill(&run.stage, many).await?;
        large.push(read(run, Layout::Plain, many).await?.flow);
    }
    let figure = |name: &str, unit, samples| Figure::new(Group::Keep, name, unit, samples);
    let plain: Vec<f64> = kept[0].iter().map(|read| read.whole).collect();
    let plain_flow: Vec<f64> = kept[0].iter().map(|read| read.flow).collect();
    let drained: Vec<f64> = drains.iter().map(|drain| drain.whole).collect();
    for (layout, reads) in Layout::ALL.map(Layout::name).iter().zip(&kept) {
        let whole: Vec<f64> = reads.iter().map(|read| read.whole).collect();
        let name = format!("kept outbox ({layout}): drain, from start to exit of the process");
        run.add(figure(&name, Unit::PerSecond, whole.clone()).drawn(Panel::Drain));
        let against = format!("the same ({layout}) ÷ pgbench's delete");
        let against = figure(&against, Unit::Ratio, ratios(&whole, &deletes));
        run.add(against.target(Target::AtLeast(1.3)));
        let beside = format!("the same ({layout}) ÷ the drain that deletes");
        run.add(figure(&beside, Unit::Ratio, ratios(&whole, &drained)));
        for (who, name) in ["relay", "Postgres", "Redis"].into_iter().enumerate() {
            let cpu = reads.iter().map(|read| read.cpu[who]).collect();
            let name = format!("the same ({layout}), CPU an event: {name}");
            run.add(figure(&name, Unit::Microseconds, cpu));
        }
    }
    let name = "the same (plain), with an idle transaction open ÷ without";
    run.add(figure(name, Unit::Ratio, ratios(&held, &plain)).target(Target::AtLeast(0.95)));
    let name = "the same (plain), of the large backlog ÷ of the usual one";
    run.add(figure(name, Unit::Ratio, ratios(&large, &plain_flow)).target(Target::AtLeast(0.9)));
    run.add(figure("replay to a stream of its own (plain)", Unit::PerSecond, replays.clone()));
    let name = "the same ÷ the drain of the kept table";
    run.add(figure(name, Unit::Ratio, ratios(&replays, &plain)).target(Target::AtLeast(0.9)));
    for who in ["relay", "Postgres", "Redis"].into_iter().enumerate() {
        let cpu = drains.iter().map(|drain| drain.cpu[who.0]).collect();
        run.add(figure(
            &format!("the drain that deletes, CPU an event: {}", who.1),
            Unit::Microseconds,
            cpu,
        ));
    }
    Ok(())
}

async fn read(run: &Run, layout: Layout, rows: Rows) -> Outcome<Read> {
    read_by(run, &layout.outflow(&run.stage)?, rows).await
}

/// Drains these rows by this configuration.
pub(crate) async fn read_by(run: &Run, outflow: &Outflow, rows: Rows) -> Outcome<Read> {
    let stage = &run.stage;
    let (relay_before, servers_before) = (cpu::of_ended_children()?, stage.server_cpu()?);
    let started = Instant::now();
    outflow.succeed("once-kept", &["run", "--once"], LIMIT).await?;
    let took = started.elapsed();
    let (relay, servers) = (cpu::of_ended_children()?, stage.server_cpu()?);
    let spent = [relay - relay_before, servers.0 - servers_before.0, servers.1 - servers_before.1];
    let flow = flow(stage.span().await?, rows)?;
    let count = as_f64(rows.count);
    run.says(&format!("keep: {} rows took {took:.1?}", rows.count));
    Ok(Read {
        whole: count / took.as_secs_f64(),
        flow,
        cpu: spent.map(|seconds| seconds * 1e6 / count),
    })
}

/// Sends every row of the table to a stream of its own once more; rows a second, from the start of
/// the process to its end.
async fn replay(run: &Run, layout: Layout, rows: Rows) -> Outcome<f64> {
    const TARGET: &str = "replayed";
    let stage = &run.stage;
    stage.command("UNLINK", &[TARGET]).await?;
    let args = ["replay", "--outbox", layout.name(), "--to", TARGET, "--restart"];
    let started = Instant::now();
    layout.outflow(stage)?.succeed("replay", &args, LIMIT).await?;
    let took = started.elapsed().as_secs_f64();
    let entries = stage.length(TARGET).await?;
    if entries != rows.count {
        return Err(format!("{} rows were replayed as {entries} entries", rows.count).into());
    }
    stage.command("UNLINK", &[TARGET]).await?;
    Ok(as_f64(rows.count) / took)
}
