//! How fast a backlog is drained and what that costs, against pgbench's delete, with and without
//! dead rows pinned.

use std::time::Instant;

use super::ceilings::{self, Cursor, as_f64};
use super::figure::{Figure, Panel, Target, Unit, ratios};
use super::fill::{Rows, refill};
use super::options::Group;
use super::run::Run;
use super::stage::Span;
use super::{Outcome, cpu};

/// As the relay's default: the last batch was under way when the last entry got its time.
const BATCH_ROWS: u64 = 1_000;

/// One drain of `outflow run --once`.
pub(crate) struct Drained {
    /// Events a second, from the start of the process to its end.
    pub(crate) whole: f64,
    /// Events a second between the first and the last append.
    pub(crate) flow: f64,
    /// CPU microseconds an event: relay, Postgres, Redis.
    pub(crate) cpu: [f64; 3],
}

/// The drain of `docs/benchmarks.md`, and what it costs.
pub(crate) async fn drain(run: &mut Run) -> Outcome {
    let rows = Rows::usual(run.options.rows);
    let (mut deletes, mut by_hand, mut appends, mut ours) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for number in run.rounds() {
        refill(&run.stage, rows).await?;
        let delete = ceilings::delete(&run.stage, rows.count, Cursor::Moves).await?;
        run.says(&format!("drain {number}: pgbench deletes {}", Unit::PerSecond.show(delete)));
        deletes.push(delete);
        refill(&run.stage, rows).await?;
        by_hand.push(ceilings::delete(&run.stage, rows.count, Cursor::Stays).await?);
        appends.push(ceilings::xadd(&run.stage, rows.count).await?);
        refill(&run.stage, rows).await?;
        let own = once(run, rows).await?;
        run.says(&format!("drain {number}: outflow drains {}", Unit::PerSecond.show(own.whole)));
        ours.push(own);
    }
    report(run, [&deletes, &by_hand, &appends], &ours);
    Ok(())
}

fn report(run: &mut Run, [deletes, by_hand, appends]: [&[f64]; 3], ours: &[Drained]) {
    let whole: Vec<f64> = ours.iter().map(|own| own.whole).collect();
    let flow: Vec<f64> = ours.iter().map(|own| own.flow).collect();
    let figure = |name: &str, unit, samples| Figure::new(Group::Drain, name, unit, samples);
    let rate = |name: &str, samples: &[f64]| figure(name, Unit::PerSecond, samples.to_vec());
    run.add(rate("pgbench: the claim's delete alone", deletes).drawn(Panel::Drain).ceiling());
    run.add(rate("pgbench: the same without a cursor", by_hand).drawn(Panel::Drain).ceiling());
    run.add(rate("redis-benchmark: pipelined XADD", appends).drawn(Panel::Drain).ceiling());
    run.add(rate("drain, from start to exit of the process", &whole).drawn(Panel::Drain));
    run.add(rate("drain, from first to last append", &flow));
    let against = figure("drain ÷ pgbench's delete", Unit::Ratio, ratios(&whole, deletes));
    run.add(against.target(Target::AtLeast(1.0)));
    run.add(figure("the same, from first to last append", Unit::Ratio, ratios(&flow, deletes)));
    run.add(figure(
        "drain ÷ pgbench's delete without a cursor",
        Unit::Ratio,
        ratios(&whole, by_hand),
    ));
    run.add(figure("drain ÷ pipelined XADD", Unit::Ratio, ratios(&whole, appends)));
    let cpu = |who: usize| ours.iter().map(|own| own.cpu[who]).collect();
    run.add(figure("CPU an event: relay", Unit::Microseconds, cpu(0)).target(Target::AtMost(2.5)));
    run.add(figure("CPU an event: Postgres", Unit::Microseconds, cpu(1)));
    run.add(figure("CPU an event: Redis", Unit::Microseconds, cpu(2)));
}

/// With an idle transaction that pins every deleted row.
pub(crate) async fn held(run: &mut Run) -> Outcome {
    let rows = Rows::usual(run.options.rows);
    let (mut deletes, mut helds, mut frees) = (Vec::new(), Vec::new(), Vec::new());
    for number in run.rounds() {
        refill(&run.stage, rows).await?;
        deletes.push(ceilings::delete(&run.stage, rows.count, Cursor::Moves).await?);
        refill(&run.stage, rows).await?;
        frees.push(once(run, rows).await?.whole);
        refill(&run.stage, rows).await?;
        let idle = run.stage.idle_transaction().await?;
        let held = once(run, rows).await?.whole;
        drop(idle);
        run.says(&format!("held {number}: outflow drains {}", Unit::PerSecond.show(held)));
        helds.push(held);
    }
    let figure = |name: &str, unit, samples| Figure::new(Group::Held, name, unit, samples);
    let held = figure("drain, with an idle transaction open", Unit::PerSecond, helds.clone());
    run.add(held.drawn(Panel::Drain));
    let against = figure("the same ÷ pgbench's delete", Unit::Ratio, ratios(&helds, &deletes));
    run.add(against.target(Target::AtLeast(0.9)));
    run.add(figure("the same ÷ without that transaction", Unit::Ratio, ratios(&helds, &frees)));
    Ok(())
}

/// Drains the table, and checks that everything has come.
pub(crate) async fn once(run: &Run, rows: Rows) -> Outcome<Drained> {
    let stage = &run.stage;
    let (relay_before, servers_before) = (cpu::of_ended_children()?, stage.server_cpu()?);
    let started = Instant::now();
    stage.to_end("once", &["run", "--once"]).await?;
    let took = started.elapsed().as_secs_f64();
    let (relay, servers) = (cpu::of_ended_children()?, stage.server_cpu()?);
    let spent = [relay - relay_before, servers.0 - servers_before.0, servers.1 - servers_before.1];
    let span = stage.span().await?;
    let flow = flow(span, rows)?;
    let count = as_f64(rows.count);
    Ok(Drained { whole: count / took, flow, cpu: spent.map(|seconds| seconds * 1e6 / count) })
}

/// Events a second between the first and the last append, if every one of them came.
pub(crate) fn flow(span: Span, rows: Rows) -> Outcome<f64> {
    if span.entries != rows.count {
        return Err(format!("{} rows became {} entries", rows.count, span.entries).into());
    }
    Ok(rate(span))
}

/// All entries but those of the last batch were appended in this time.
pub(crate) fn rate(span: Span) -> f64 {
    let seconds = as_f64(span.last_ms.saturating_sub(span.first_ms)) / 1_000.0;
    as_f64(span.entries.saturating_sub(BATCH_ROWS)) / seconds
}
