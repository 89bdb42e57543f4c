//! Whether the speed depends on how much is waiting: a small, the usual and a large backlog.

use super::Outcome;
use super::ceilings::{self, Cursor, as_f64};
use super::drain::{flow, rate};
use super::figure::{Figure, Panel, Target, Unit, ratios, thousands};
use super::fill::{Rows, fill, refill};
use super::options::Group;
use super::run::Run;
use super::stage::{Relay, Stage};

/// A drain of ten batches takes a few hundredths of a second, which Redis's clock shows in
/// thousandths: more of them.
const SMALL_REPEATS: usize = 5;

/// Rates between first and last append. Of the large backlog, as many rows are drained as the usual
/// one has, and then filled up again. Autovacuum is off for this table meanwhile: it would meet the
/// large one only.
pub(crate) async fn backlog(run: &mut Run) -> Outcome {
    run.stage.sql("alter table public.outbox set (autovacuum_enabled = off)").await?;
    let outcome = compare(run).await;
    run.stage.sql("alter table public.outbox reset (autovacuum_enabled)").await?;
    outcome
}

async fn compare(run: &mut Run) -> Outcome {
    let [few, usual, many] =
        [run.options.backlog_small, run.options.rows, run.options.backlog_large].map(Rows::usual);
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    let mut deletes = [Vec::new(), Vec::new()];
    for number in run.rounds() {
        rates[0].extend(small(&run.stage, few).await?);
        run.says(&format!("backlog {number}: {} rows are drained", thousands(as_f64(few.count))));
        refill(&run.stage, usual).await?;
        deletes[0].push(ceilings::delete(&run.stage, usual.count, Cursor::Moves).await?);
        refill(&run.stage, usual).await?;
        rates[1].push(part(&run.stage, usual).await?);
        run.says(&format!("backlog {number}: {} rows are drained", thousands(as_f64(usual.count))));
    }
    run.says(&format!("backlog: filling {} rows", thousands(as_f64(many.count))));
    refill(&run.stage, many).await?;
    for number in run.rounds() {
        deletes[1].push(ceilings::delete(&run.stage, usual.count, Cursor::Moves).await?);
        fill_up(&run.stage, many).await?;
        rates[2].push(part(&run.stage, usual).await?);
        run.says(&format!(
            "backlog {number}: {} of the large backlog are drained",
            thousands(as_f64(usual.count))
        ));
        fill_up(&run.stage, many).await?;
    }
    report(run, [few, usual, many].map(|rows| rows.count), &rates, &deletes);
    Ok(())
}

/// `deletes` are pgbench's, of the usual number of rows: of a table of that size, and of the large
/// one.
fn report(run: &mut Run, sizes: [u64; 3], rates: &[Vec<f64>; 3], deletes: &[Vec<f64>; 2]) {
    let shown = sizes.map(|size| thousands(as_f64(size)));
    for (size, rates) in shown.iter().zip(rates) {
        let figure = Figure::new(
            Group::Backlog,
            format!("backlog of {size}"),
            Unit::PerSecond,
            rates.clone(),
        );
        run.add(figure.drawn(Panel::Drain));
    }
    let against = |ours: &[f64], theirs: &[f64]| {
        let usual = Figure::new(Group::Backlog, "", Unit::PerSecond, theirs.to_vec()).median();
        ratios(ours, &vec![usual; ours.len()])
    };
    for at in [0, 2] {
        let name = format!("backlog of {} ÷ of {}", shown[at], shown[1]);
        let figure = Figure::new(Group::Backlog, name, Unit::Ratio, against(&rates[at], &rates[1]));
        run.add(figure.target(Target::Between(0.9, 1.1)));
    }
    let name = format!("pgbench's delete, backlog of {} ÷ of {}", shown[2], shown[1]);
    run.add(Figure::new(Group::Backlog, name, Unit::Ratio, against(&deletes[1], &deletes[0])));
    for (size, (rates, deletes)) in shown[1..].iter().zip(rates[1..].iter().zip(deletes)) {
        let name = format!("backlog of {size}: drain ÷ pgbench's delete");
        run.add(Figure::new(Group::Backlog, name, Unit::Ratio, ratios(rates, deletes)));
    }
}

/// Empties the streams, and adds as many rows as were taken.
async fn fill_up(stage: &Stage, rows: Rows) -> Outcome {
    stage.clear_streams().await?;
    let waiting = u64::try_from(stage.waiting().await?)?;
    fill(stage, Rows::usual(rows.count - waiting)).await
}

/// Small backlogs that a waiting relay meets: its start would take longer than the drain.
async fn small(stage: &Stage, rows: Rows) -> Outcome<Vec<f64>> {
    stage.clear_streams().await?;
    stage.sql("truncate public.outbox; checkpoint").await?;
    let relay = stage.relay().await?;
    let mut rates = Vec::new();
    // The first one opens the relay's connections.
    for repeat in 0..=SMALL_REPEATS {
        fill(stage, rows).await?;
        stage.reaches(Rows::STREAM, rows.count).await?;
        relay.asleep().await?;
        if repeat > 0 {
            rates.push(flow(stage.span().await?, rows)?);
        }
        stage.clear_streams().await?;
    }
    relay.stop().await?;
    Ok(rates)
}

/// Drains at least so many rows of what is there.
async fn part(stage: &Stage, rows: Rows) -> Outcome<f64> {
    let relay: Relay = stage.relay_at_once()?;
    stage.reaches(Rows::STREAM, rows.count).await?;
    relay.stop().await?;
    Ok(rate(stage.span().await?))
}
