//! What the trigger and a running relay cost the application's inserts: pgbench on a bare table,
//! with the trigger, and with the relay at work. And what it costs them that somebody takes the
//! rows away at all: pgbench deletes them, and nothing else is done with them.

use super::Outcome;
use super::ceilings::{as_f64, pgbench};
use super::figure::{Figure, Panel, Target, Unit, ratios, thousands};
use super::fill::{Rows, payload};
use super::kept::Layout;
use super::options::Group;
use super::run::Run;
use super::stage::Stage;

/// More than this share of a run's rows left behind at its end, and the relay does not keep up.
const LEFT_SHARE_MAX: f64 = 0.05;
/// As the relay's longest pause between two claims under load.
const DELETE_PAUSE_MS: u32 = 25;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Bare,
    Trigger,
    /// No trigger, and the rows are deleted.
    Deleter,
    Relay,
    /// The kept outbox with its relay.
    Kept(Layout),
}

impl Variant {
    const ALL: [Self; 6] = [
        Self::Bare,
        Self::Trigger,
        Self::Deleter,
        Self::Relay,
        Self::Kept(Layout::Plain),
        Self::Kept(Layout::Ring),
    ];
}

/// One variant: rows a second, and what was left behind.
#[derive(Default)]
struct Samples {
    rates: Vec<f64>,
    left: Vec<f64>,
}

pub(crate) async fn writers(run: &mut Run) -> Outcome {
    Layout::make(&run.stage).await?;
    for clients in [1, 16] {
        let mut samples: [Samples; 6] = Default::default();
        for number in run.rounds() {
            for (samples, variant) in samples.iter_mut().zip(Variant::ALL) {
                let (rate, left) = write(run, clients, variant).await?;
                let (rate_shown, left_shown) = (Unit::PerSecond.show(rate), thousands(left));
                run.says(&format!(
                    "writers {number}: {clients} clients, {variant:?}: \
                    {rate_shown}, {left_shown} left"
                ));
                samples.rates.push(rate);
                samples.left.push(left / (rate * run.options.writing.as_secs_f64()));
            }
        }
        report(run, clients, samples);
    }
    Ok(())
}

/// One run of pgbench; what the relay has left at its end.
async fn write(run: &Run, clients: u32, variant: Variant) -> Outcome<(f64, f64)> {
    let stage = &run.stage;
    if let Variant::Kept(layout) = variant {
        return write_kept(run, clients, layout).await;
    }
    let switch =
        if matches!(variant, Variant::Bare | Variant::Deleter) { "disable" } else { "enable" };
    stage.clear_streams().await?;
    stage.sql("truncate public.outbox").await?;
    stage.sql(&format!("alter table public.outbox {switch} trigger outflow_wake")).await?;
    stage.sql("checkpoint").await?;
    let relay = if variant == Variant::Relay { Some(stage.relay().await?) } else { None };
    let rate = if variant == Variant::Deleter {
        let seconds = run.options.writing.as_secs().to_string();
        tokio::try_join!(insert(run, clients, "public.outbox"), delete(stage, &seconds))?.0
    } else {
        insert(run, clients, "public.outbox").await?
    };
    let left = as_f64(u64::try_from(stage.waiting().await?)?);
    if let Some(relay) = relay {
        relay.asleep().await?;
        relay.stop().await?;
        if stage.waiting().await? != 0 {
            return Err("the relay fell asleep before the table was empty".into());
        }
    }
    stage.sql("alter table public.outbox enable trigger outflow_wake").await?;
    Ok((rate, if variant == Variant::Relay { left } else { 0.0 }))
}

/// The same with a kept outbox: what is not in the stream yet is left.
async fn write_kept(run: &Run, clients: u32, layout: Layout) -> Outcome<(f64, f64)> {
    let stage = &run.stage;
    layout.clear(stage).await?;
    let relay = layout.relay(stage).await?;
    let rate = insert(run, clients, layout.table()).await?;
    let sent = stage.length(Rows::STREAM).await?;
    let count = format!("select count(*) from {}", layout.table());
    let written = u64::try_from(stage.number(&count).await?)?;
    relay.asleep().await?;
    relay.stop().await?;
    let entries = stage.length(Rows::STREAM).await?;
    if entries != written {
        return Err(format!("{written} rows became {entries} entries").into());
    }
    Ok((rate, as_f64(written.saturating_sub(sent))))
}

/// Writers insert into the table for a while; rows a second.
async fn insert(run: &Run, clients: u32, table: &str) -> Outcome<f64> {
    let file = run.stage.path().join("insert.sql");
    std::fs::write(&file, script(table))?;
    let (file, clients) = (file.display().to_string(), clients.to_string());
    let seconds = run.options.writing.as_secs().to_string();
    let threads = if clients == "1" { "1" } else { "2" };
    let args = ["-n", "-M", "prepared", "-c", &clients, "-j", threads, "-T", &seconds, "-f", &file];
    pgbench(&run.stage, &args, "").await
}

/// Deletes what is there, again and again. As the relay's claims, without their other round trips
/// and without the rows.
async fn delete(stage: &Stage, seconds: &str) -> Outcome<f64> {
    let file = stage.path().join("take.sql");
    // A little behind the last row: others commit late.
    let script = format!(
        "with taken as (delete from public.outbox where ctid = any(array(select ctid from \
            public.outbox \
         where id > :lower - 1000 order by id limit 1000 for update skip locked)) returning id) \
         select coalesce(max(id), :lower) as lower from taken \\gset\n\\sleep {DELETE_PAUSE_MS} \
         ms\n"
    );
    std::fs::write(&file, script)?;
    let lower =
        format!("lower={}", stage.number("select last_value from public.outbox_id_seq").await?);
    let file = file.display().to_string();
    pgbench(
        stage,
        &["-n", "-M", "prepared", "-c", "1", "-T", seconds, "-f", &file, "-D", &lower],
        "",
    )
    .await
}

/// One row a transaction: the least that a business transaction does, so that what is added weighs
/// most.
fn script(table: &str) -> String {
    let payload = payload(260).replace('\'', "''");
    format!(
        "\\set key random(1, 1000)\n\
         insert into {table} (aggregate_type, aggregate_id, event_type, payload) \
         values ('order-0', :key, 'OrderPlaced', '{payload}');\n"
    )
}

fn report(run: &mut Run, clients: u32, samples: [Samples; 6]) {
    let [bare, trigger, bare_delete, relay, plain, ring] = samples;
    let figure = |name: &str, unit, samples| {
        let plural = if clients == 1 { "" } else { "s" };
        Figure::new(Group::Writers, format!("{clients} writer{plural}: {name}"), unit, samples)
    };
    let target = |figure: Figure, least| {
        if clients == 16 { figure.target(Target::AtLeast(least)) } else { figure }
    };
    run.add(
        figure("bare table", Unit::PerSecond, bare.rates.clone()).drawn(Panel::Writers).ceiling(),
    );
    run.add(figure("with trigger", Unit::PerSecond, trigger.rates.clone()).drawn(Panel::Writers));
    let deleted =
        figure("with a bare delete of the rows", Unit::PerSecond, bare_delete.rates.clone());
    run.add(deleted.drawn(Panel::Writers).ceiling());
    run.add(
        figure("with trigger and relay", Unit::PerSecond, relay.rates.clone())
            .drawn(Panel::Writers),
    );
    run.add(target(
        figure("trigger ÷ bare", Unit::Ratio, ratios(&trigger.rates, &bare.rates)),
        0.95,
    ));
    run.add(figure("a bare delete ÷ bare", Unit::Ratio, ratios(&bare_delete.rates, &bare.rates)));
    run.add(figure(
        "trigger and relay ÷ a bare delete",
        Unit::Ratio,
        ratios(&relay.rates, &bare_delete.rates),
    ));
    for (name, kept, samples) in [
        ("trigger and relay", false, &relay),
        ("kept outbox (plain) and relay", true, &plain),
        ("kept outbox (ring) and relay", true, &ring),
    ] {
        if kept {
            run.add(figure(name, Unit::PerSecond, samples.rates.clone()).drawn(Panel::Writers));
        }
        let against = ratios(&samples.rates, &bare.rates);
        let against = figure(&format!("{name} ÷ bare"), Unit::Ratio, against);
        let behind = samples.left.iter().any(|share| *share > LEFT_SHARE_MAX);
        let against = if behind { against.note("the relay does not keep up") } else { against };
        run.add(target(against, 0.85));
        let left = samples.left.iter().map(|share| share * 100.0).collect();
        let left = figure(&format!("{name}: rows left at the end"), Unit::Percent, left);
        run.add(left.target(Target::AtMost(LEFT_SHARE_MAX * 100.0)));
    }
}
