//! What trimming costs: a drain by a relay that trims what a group has read, and by one that does
//! not, in turns.

use std::time::{Duration, Instant};

use super::Outcome;
use super::ceilings::as_f64;
use super::figure::{Figure, Target, Unit, ratios};
use super::fill::{Rows, refill};
use super::options::Group;
use super::run::Run;
use super::stage::LIMIT;

const TRIMS: &str = "[[outbox]]\n[outbox.trim]\nwhen = \"consumed\"\n";
/// How often is looked, and the group moved to the end of the stream.
const STEP: Duration = Duration::from_millis(20);

/// Both, and what is left of the stream.
pub(crate) async fn trim(run: &mut Run) -> Outcome {
    let rows = Rows::usual(run.options.rows);
    let mut flows = [Vec::new(), Vec::new()];
    for number in run.rounds() {
        for (flows, (what, more)) in
            flows.iter_mut().zip([("without trimming", ""), ("trimming", TRIMS)])
        {
            refill(&run.stage, rows).await?;
            let flow = drained(run, rows, more).await?;
            run.says(&format!("trim {number}: {what}: {}", Unit::PerSecond.show(flow)));
            flows.push(flow);
        }
    }
    let [without, with] = flows;
    let figure = |name: &str, unit, samples| Figure::new(Group::Trim, name, unit, samples);
    run.add(figure("drain by a relay that stays", Unit::PerSecond, without.clone()));
    run.add(figure("the same, which trims what was read", Unit::PerSecond, with.clone()));
    let against = figure("trimming ÷ without", Unit::Ratio, ratios(&with, &without));
    run.add(against.target(Target::AtLeast(0.95)));
    Ok(())
}

/// Events a second, from the first look that sees an entry to the one that sees the last. A group
/// has read, at each look, what is there.
async fn drained(run: &Run, rows: Rows, more: &str) -> Outcome<f64> {
    let (stage, stream) = (&run.stage, Rows::STREAM);
    stage.command("XGROUP", &["CREATE", stream, "all", "$", "MKSTREAM"]).await?;
    let relay = stage.relay_with(more)?;
    let deadline = Instant::now() + LIMIT;
    let mut first = None;
    let flow = loop {
        if Instant::now() > deadline {
            return Err(format!("the drain does not end\n{}", relay.program.log_tail()).into());
        }
        let added = stage.added(stream).await?;
        stage.command("XGROUP", &["SETID", stream, "all", "$"]).await?;
        let (began, before) = *first.get_or_insert((Instant::now(), added));
        if added == 0 {
            first = None;
        } else if added >= rows.count {
            break as_f64(added - before) / began.elapsed().as_secs_f64();
        }
        tokio::time::sleep(STEP).await;
    };
    let left = stage.length(stream).await?;
    relay.stop().await?;
    // The last entries may have come after the last trim.
    match (more.is_empty(), left) {
        (true, left) if left != rows.count => {
            Err(format!("{} rows became {left} entries", rows.count).into())
        }
        (false, left) if left >= rows.count => Err("nothing was trimmed".into()),
        _ => Ok(flow),
    }
}
