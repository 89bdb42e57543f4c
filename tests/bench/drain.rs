//! How fast a backlog is drained: against pgbench's delete, at any backlog, with dead rows pinned, by two members, for
//! any size of payload and number of streams.

use std::time::Instant;

use super::ceilings::{self, as_f64};
use super::figure::{Figure, Panel, Target, Unit, ratios};
use super::fill::{Rows, refill};
use super::options::Group;
use super::run::Run;
use super::stage::Span;
use super::{Outcome, cpu};

/// As the relay's default: the last batch was under way when the last entry got its time.
const BATCH_ROWS: u64 = 1_000;

/// One drain of `outflow run --once`.
struct Drained {
    /// Events a second, from the start of the process to its end.
    whole: f64,
    /// Events a second between the first and the last append.
    flow: f64,
    /// CPU microseconds an event: relay, Postgres, Redis.
    cpu: [f64; 3],
}

/// The drain of DESIGN §11, and what it costs.
pub(crate) async fn drain(run: &mut Run) -> Outcome {
    let rows = Rows::usual(run.options.rows);
    let (mut deletes, mut appends, mut drains) = (Vec::new(), Vec::new(), Vec::new());
    for number in run.rounds() {
        refill(&run.stage, rows).await?;
        let deleted = ceilings::delete(&run.stage, rows.count).await?;
        run.says(&format!("drain {number}: pgbench deletes {}", Unit::PerSecond.show(deleted)));
        deletes.push(deleted);
        appends.push(ceilings::xadd(&run.stage, rows.count).await?);
        refill(&run.stage, rows).await?;
        let drained = once(run, rows).await?;
        run.says(&format!("drain {number}: outflow drains {}", Unit::PerSecond.show(drained.whole)));
        drains.push(drained);
    }
    let whole: Vec<f64> = drains.iter().map(|drained| drained.whole).collect();
    let flow: Vec<f64> = drains.iter().map(|drained| drained.flow).collect();
    let figure = |name: &str, unit, samples| Figure::new(Group::Drain, name, unit, samples);
    run.add(
        figure("pgbench: the claim's delete alone", Unit::PerSecond, deletes.clone()).drawn(Panel::Drain).ceiling(),
    );
    run.add(figure("redis-benchmark: pipelined XADD", Unit::PerSecond, appends.clone()).drawn(Panel::Drain).ceiling());
    let all = figure("drain, from start to exit of the process", Unit::PerSecond, whole.clone());
    run.add(all.drawn(Panel::Drain));
    run.add(figure("drain, from first to last append", Unit::PerSecond, flow.clone()));
    let against = figure("drain ÷ pgbench's delete", Unit::Ratio, ratios(&whole, &deletes));
    run.add(against.target(Target::AtLeast(1.0)));
    run.add(figure("the same, from first to last append", Unit::Ratio, ratios(&flow, &deletes)));
    run.add(figure("drain ÷ pipelined XADD", Unit::Ratio, ratios(&whole, &appends)));
    let cpu = |who: usize| drains.iter().map(|drained| drained.cpu[who]).collect();
    run.add(figure("CPU an event: relay", Unit::Microseconds, cpu(0)).target(Target::AtMost(2.5)));
    run.add(figure("CPU an event: Postgres", Unit::Microseconds, cpu(1)));
    run.add(figure("CPU an event: Redis", Unit::Microseconds, cpu(2)));
    Ok(())
}

/// With an idle transaction that pins every deleted row.
pub(crate) async fn held(run: &mut Run) -> Outcome {
    let rows = Rows::usual(run.options.rows);
    let (mut deletes, mut helds, mut frees) = (Vec::new(), Vec::new(), Vec::new());
    for number in run.rounds() {
        refill(&run.stage, rows).await?;
        deletes.push(ceilings::delete(&run.stage, rows.count).await?);
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

/// By one member and by two.
pub(crate) async fn members(run: &mut Run) -> Outcome {
    let rows = Rows::usual(run.options.rows);
    let mut flows = [Vec::new(), Vec::new()];
    let mut stood_by = false;
    for number in run.rounds() {
        for (flows, members) in flows.iter_mut().zip([1, 2]) {
            refill(&run.stage, rows).await?;
            let relays = (0..members).map(|_| run.stage.relay_at_once()).collect::<Outcome<Vec<_>>>()?;
            run.stage.reaches(Rows::STREAM, rows.count).await?;
            for relay in relays {
                stood_by |= relay.program.log().contains("standing by");
                relay.stop().await?;
            }
            let flow = flow(run.stage.span().await?, rows)?;
            run.says(&format!("members {number}: {members} drain {}", Unit::PerSecond.show(flow)));
            flows.push(flow);
        }
    }
    let [one, two] = flows;
    let figure = |name: &str, unit, samples| Figure::new(Group::Members, name, unit, samples);
    run.add(figure("1 member", Unit::PerSecond, one.clone()));
    let shared = figure("2 members", Unit::PerSecond, two.clone()).drawn(Panel::Drain);
    let note = "the second one stood by for at least a part of it";
    run.add(if stood_by { shared.note(note) } else { shared });
    run.add(figure("2 members ÷ 1 member", Unit::Ratio, ratios(&two, &one)));
    Ok(())
}

/// With small and large payloads.
pub(crate) async fn payloads(run: &mut Run) -> Outcome {
    for (payload, shown, share) in [(100, "100 B", 2), (1_000, "1 kB", 2), (10_000, "10 kB", 10)] {
        let rows = Rows { payload, ..Rows::usual(run.options.rows / share) };
        let mut flows = Vec::new();
        for number in run.rounds() {
            refill(&run.stage, rows).await?;
            let flow = once(run, rows).await?.flow;
            run.says(&format!("payloads {number}: {shown}: {}", Unit::PerSecond.show(flow)));
            flows.push(flow);
        }
        let name = format!("payloads of {shown}");
        run.add(Figure::new(Group::Payloads, name, Unit::PerSecond, flows).drawn(Panel::Drain));
    }
    Ok(())
}

/// Into one stream and into a thousand.
pub(crate) async fn streams(run: &mut Run) -> Outcome {
    let mut flows = [Vec::new(), Vec::new()];
    for number in run.rounds() {
        for (flows, streams) in flows.iter_mut().zip([1, 1_000]) {
            let rows = Rows { streams, ..Rows::usual(run.options.rows / 2) };
            refill(&run.stage, rows).await?;
            let flow = once(run, rows).await?.flow;
            run.says(&format!("streams {number}: into {streams}: {}", Unit::PerSecond.show(flow)));
            flows.push(flow);
        }
    }
    let [one, many] = flows;
    let figure = |name: &str, unit, samples| Figure::new(Group::Streams, name, unit, samples);
    run.add(figure("into 1 stream", Unit::PerSecond, one.clone()));
    run.add(figure("into 1,000 streams", Unit::PerSecond, many.clone()).drawn(Panel::Drain));
    run.add(figure("1,000 streams ÷ 1 stream", Unit::Ratio, ratios(&many, &one)));
    Ok(())
}

/// Drains the table, and checks that everything has come.
async fn once(run: &Run, rows: Rows) -> Outcome<Drained> {
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
