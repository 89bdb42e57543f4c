//! What retention costs a drain of the kept outbox: the table has as many old rows, which were
//! delivered, as rows that wait. The same drain with a longer `keep.for` removes nothing.

use super::Outcome;
use super::figure::{Figure, Target, Unit, ratios};
use super::fill::Rows;
use super::keep::read_by;
use super::kept::Layout;
use super::options::Group;
use super::run::Run;

/// Rows of this age are old with the first of the two configurations only.
const AGE_DAYS: u32 = 10;
const KEPT: [&str; 2] = ["7d", "365d"];

/// All figures of the group.
pub(crate) async fn retention(run: &mut Run) -> Outcome {
    Layout::make(&run.stage).await?;
    let rows = Rows::usual(run.options.rows);
    for layout in Layout::ALL {
        let (mut drains, mut removed) = ([Vec::new(), Vec::new()], Vec::new());
        for number in run.rounds() {
            for (drains, kept) in drains.iter_mut().zip(KEPT) {
                let (drained, gone) = drain(run, layout, rows, kept).await?;
                let shown = Unit::PerSecond.show(drained);
                run.says(&format!(
                    "retention {number}: {}, kept for {kept}: {shown}, {gone} rows removed",
                    layout.name()
                ));
                drains.push(drained);
                if kept == KEPT[0] {
                    removed.push(gone);
                }
            }
        }
        let [with, without] = drains;
        let name = format!("drain while old rows are removed ({})", layout.name());
        let least = removed.iter().min().copied().unwrap_or_default();
        let figure = |name: &str, unit, samples| Figure::new(Group::Retention, name, unit, samples);
        let drain = figure(&name, Unit::PerSecond, with.clone());
        run.add(drain.note(format!("at least {least} old rows were removed meanwhile")));
        let ratio = figure(&format!("{name} ÷ without"), Unit::Ratio, ratios(&with, &without));
        run.add(ratio.target(Target::AtLeast(0.97)));
    }
    Ok(())
}

/// Events a second, and how many old rows were removed.
async fn drain(run: &Run, layout: Layout, rows: Rows, kept: &str) -> Outcome<(f64, i64)> {
    let stage = &run.stage;
    layout.clear(stage).await?;
    layout.fill(stage, rows, AGE_DAYS).await?;
    read_by(run, &layout.keeping(stage, KEPT[1])?, rows).await?;
    stage.clear_streams().await?;
    layout.fill(stage, rows, 0).await?;
    stage.sql("checkpoint").await?;
    let drained = read_by(run, &layout.keeping(stage, kept)?, rows).await?.whole;
    let left = stage.number(&format!("select count(*) from {}", layout.table())).await?;
    let gone = i64::try_from(2 * rows.count)? - left;
    if (gone > 0) != (kept == KEPT[0]) {
        return Err(format!("kept for {kept}, {gone} rows were removed").into());
    }
    Ok((drained, gone))
}
