//! From a writer's commit to a reader that is blocked in XREAD, at a fixed rate of events.

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::figure::{Figure, Panel, Target, Unit, ratios};
use super::fill::Rows;
use super::kept::Layout;
use super::options::Group;
use super::reader::Reader;
use super::run::Run;
use super::writer::{Schedule, write};
use super::{Outcome, stage::Stage};

/// Events of this time are written and read, but not counted.
const WARM_UP: Duration = Duration::from_secs(1);
/// What one connection writes in a second without falling behind, as long as a commit takes less
/// than 4 ms.
const RATE_OF_ONE_WRITER: u32 = 250;
/// So many first events are looked at by themselves: they meet a relay that has just started.
const FIRST: usize = 10;
const QUANTILES: [(f64, &str); 4] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"), (1.0, "max")];

/// One run: latencies by [`QUANTILES`], in milliseconds.
struct Latencies {
    from_commit: [f64; 4],
    /// The median from the moment the insert was sent.
    from_insert: f64,
    /// The longest of the first events after the relay's start.
    first: f64,
    /// Events that were written later than planned by more than a period.
    late: usize,
    events: usize,
}

pub(crate) async fn latency(run: &mut Run) -> Outcome {
    Layout::make(&run.stage).await?;
    for rate in [200, 2_000, 5_000] {
        let (mut deleted, mut kept) = (Vec::new(), Vec::new());
        for number in run.rounds() {
            deleted.push(one(run, number, rate, None).await?);
            kept.push(one(run, number, rate, Some(Layout::Plain)).await?);
        }
        report(run, rate, "", &deleted);
        report(run, rate, "kept outbox, ", &kept);
        let ratio = |at: usize| {
            let of = |all: &[Latencies]| all.iter().map(|one| one.from_commit[at]).collect();
            let (kept, deleted): (Vec<f64>, Vec<f64>) = (of(&kept), of(&deleted));
            ratios(&kept, &deleted)
        };
        for (at, (_, shown)) in QUANTILES.iter().enumerate().take(2) {
            let name = format!("{rate} events/s: {shown} of the kept outbox ÷ of the other");
            run.add(Figure::new(Group::Latency, name, Unit::Ratio, ratio(at)));
        }
    }
    Ok(())
}

/// One run, and words about it.
async fn one(run: &Run, number: usize, rate: u32, kept: Option<Layout>) -> Outcome<Latencies> {
    let one = look(&run.stage, rate, run.options.latency, kept).await?;
    let shown: Vec<String> = one.from_commit.map(|ms| Unit::Milliseconds.show(ms)).into();
    let late = if one.late > 0 {
        format!(" ({} of {} written late)", one.late, one.events)
    } else {
        String::new()
    };
    let mode = if kept.is_some() { ", kept" } else { "" };
    run.says(&format!("latency {number}: {rate} events/s{mode}: {}{late}", shown.join(", ")));
    Ok(one)
}
fn report(run: &mut Run, rate: u32, mode: &str, all: &[Latencies]) {
    let late = all.iter().any(|one| one.late * 100 > one.events);
    for (at, (_, shown)) in QUANTILES.iter().enumerate() {
        let samples = all.iter().map(|one| one.from_commit[at]).collect();
        let name = format!("{mode}{rate} events/s: commit to XREAD, {shown}");
        let figure = Figure::new(Group::Latency, name, Unit::Milliseconds, samples);
        let figure = match (rate, at) {
            (200, 0) => figure.target(Target::AtMost(0.7)),
            (200, 1) => figure.target(Target::AtMost(1.4)),
            _ => figure,
        };
        let figure = if late && at == 0 {
            figure.note("the writers fell behind their schedule")
        } else {
            figure
        };
        // The largest of all is an accident of one moment: in the table, not in the picture.
        let drawn = at < 3 && mode.is_empty();
        run.add(if drawn { figure.drawn(Panel::Latency) } else { figure });
    }
    let from_insert = all.iter().map(|one| one.from_insert).collect();
    let name = format!("{mode}{rate} events/s: insert sent to XREAD, p50");
    run.add(Figure::new(Group::Latency, name, Unit::Milliseconds, from_insert));
    let first = all.iter().map(|one| one.first).collect();
    let name = format!("{mode}{rate} events/s: longest of the first {FIRST} after the start");
    run.add(Figure::new(Group::Latency, name, Unit::Milliseconds, first));
}

/// One run with a relay of its own.
async fn look(
    stage: &Stage,
    rate: u32,
    counted: Duration,
    kept: Option<Layout>,
) -> Outcome<Latencies> {
    let (table, relay) = if let Some(layout) = kept {
        layout.clear(stage).await?;
        (layout.table(), layout.relay(stage).await?)
    } else {
        stage.clear_streams().await?;
        stage.sql("truncate public.outbox; checkpoint").await?;
        ("public.outbox", stage.relay().await?)
    };
    relay.asleep().await?;
    let seconds = u32::try_from((WARM_UP + counted).as_secs())?;
    let (events, warm_up) = ((seconds * rate) as usize, u32::try_from(WARM_UP.as_secs())? * rate);
    let reader = Reader::connect(stage.redis.port(), Rows::STREAM)?;
    let reading = thread::spawn(move || reader.read(events));
    let writers = rate.div_ceil(RATE_OF_ONE_WRITER);
    let schedule = Schedule { start: Instant::now() + Duration::from_millis(100), rate, events };
    let writing: Vec<_> = (0..writers)
        .map(|first| {
            let url = stage.postgres.url();
            thread::spawn(move || write(&url, table, schedule, first as usize, writers as usize))
        })
        .collect();
    // The relay is served by other processes: nothing here has to run meanwhile.
    let mut written = Vec::new();
    for writer in writing {
        written.extend(writer.join().map_err(|_| "a writer panicked")??);
    }
    let read = reading.join().map_err(|_| "the reader panicked")??;
    relay.stop().await?;
    let mut from_commit = Histogram::<u64>::new(3)?;
    let mut from_insert = Histogram::<u64>::new(3)?;
    let (mut late, mut first) = (0, Duration::ZERO);
    for event in written.iter().filter(|event| event.number < FIRST) {
        let arrived = read[event.number].ok_or("an event did not arrive")?;
        first = first.max(arrived.saturating_duration_since(event.committed));
    }
    for event in written.iter().filter(|event| event.number >= warm_up as usize) {
        let arrived = read[event.number].ok_or("an event did not arrive")?;
        // The writer may be told of its commit after the event has arrived: that is none at all.
        from_commit.record(nanos(arrived.saturating_duration_since(event.committed)))?;
        from_insert.record(nanos(arrived.saturating_duration_since(event.sent)))?;
        late += usize::from(event.sent > schedule.due(event.number) + schedule.period());
    }
    let at = |histogram: &Histogram<u64>, quantile| {
        Duration::from_nanos(histogram.value_at_quantile(quantile))
    };
    Ok(Latencies {
        from_commit: QUANTILES.map(|(quantile, _)| at(&from_commit, quantile).as_secs_f64() * 1e3),
        from_insert: at(&from_insert, 0.5).as_secs_f64() * 1e3,
        first: first.as_secs_f64() * 1e3,
        late,
        events: events - warm_up as usize,
    })
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
