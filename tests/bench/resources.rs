//! The relay's memory at work and at rest, and what it does while nothing happens.

use super::Outcome;
use super::cpu;
use super::figure::{Figure, Target, Unit};
use super::fill::{Rows, refill};
use super::options::Group;
use super::run::Run;

/// Batches of 1,000 × 1 kB, and then nothing.
pub(crate) async fn resources(run: &mut Run) -> Outcome {
    let rows = Rows { payload: 1_000, ..Rows::usual(run.options.rows / 5) };
    let (mut most, mut resting, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    for number in run.rounds() {
        refill(&run.stage, rows).await?;
        let relay = run.stage.relay_at_once()?;
        run.stage.reaches(Rows::STREAM, rows.count).await?;
        relay.asleep().await?;
        let pid = relay.program.pid();
        let before = cpu::of_threads(pid)?;
        tokio::time::sleep(run.options.idle).await;
        let spent = cpu::of_threads(pid)?.saturating_sub(before);
        most.push(cpu::memory(pid, "VmHWM")?);
        resting.push(cpu::memory(pid, "VmRSS")?);
        idle.push(100.0 * spent.as_secs_f64() / run.options.idle.as_secs_f64());
        relay.stop().await?;
        run.says(&format!(
            "resources {number}: {}",
            most.last().map_or(String::new(), |most| Unit::Megabytes.show(*most))
        ));
    }
    let figure = |name: &str, unit, samples| Figure::new(Group::Resources, name, unit, samples);
    let most = figure("memory at most, batches of 1,000 × 1 kB", Unit::Megabytes, most);
    run.add(most.target(Target::AtMost(30.0)));
    run.add(figure("memory asleep, afterwards", Unit::Megabytes, resting));
    run.add(figure("CPU while idle", Unit::Percent, idle).target(Target::AtMost(0.5)));
    Ok(())
}
