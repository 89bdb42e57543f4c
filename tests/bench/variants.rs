//! The drain in other circumstances: Redis with its log, two members, other payloads, many streams.

use super::Outcome;
use super::drain::{flow, once};
use super::figure::{Figure, Panel, Unit, ratios};
use super::fill::{Rows, refill};
use super::options::Group;
use super::run::Run;

/// With Redis writing its log, fsynced every second or before each answer.
pub(crate) async fn durable(run: &mut Run) -> Outcome {
    let rows = Rows::usual(run.options.rows / 2);
    let modes = [("no", "no"), ("yes", "everysec"), ("yes", "always")];
    let mut flows = [Vec::new(), Vec::new(), Vec::new()];
    for number in run.rounds() {
        for (flows, (log, fsync)) in flows.iter_mut().zip(modes) {
            run.stage.redis_log(log, fsync).await?;
            refill(&run.stage, rows).await?;
            let flow = once(run, rows).await?.flow;
            run.says(&format!(
                "durable {number}: appendonly {log}, {fsync}: {}",
                Unit::PerSecond.show(flow)
            ));
            flows.push(flow);
        }
        run.stage.redis_log("no", "no").await?;
    }
    let [none, every_second, always] = flows;
    for (flows, name) in [
        (every_second, "Redis with appendfsync everysec"),
        (always, "Redis with appendfsync always"),
    ] {
        let figure = |name: &str, unit, samples| Figure::new(Group::Durable, name, unit, samples);
        run.add(figure(name, Unit::PerSecond, flows.clone()).drawn(Panel::Drain));
        run.add(figure(&format!("{name} ÷ without its log"), Unit::Ratio, ratios(&flows, &none)));
    }
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
            let relays =
                (0..members).map(|_| run.stage.relay_at_once()).collect::<Outcome<Vec<_>>>()?;
            run.stage.reaches(Rows::STREAM, rows.count).await?;
            for relay in relays {
                stood_by |= relay.program.log().contains("standby: ");
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
