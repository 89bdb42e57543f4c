//! What the console costs: the first byte of each page over much data, somebody who looks at the
//! overview, and nobody who looks.

use std::time::{Duration, Instant};

use outflow_local::{Outflow, Program, eventually, free_port};

use super::figure::{Figure, Target, Unit};
use super::options::Group;
use super::run::Run;
use super::stage::{LIMIT, Stage, binary};
use super::{Outcome, cpu};

/// Dead letters of either side.
const LETTERS: u64 = 100_000;
const STREAMS: u64 = 1_000;
/// Entries that one script adds: no longer than Redis may be kept busy.
const STEP: u64 = 50_000;
const BIG: &str = "events.order-0";
/// Each page's first byte.
const FIRST_BYTE_MAX: f64 = 200.0;

/// Adds entries to a stream, or one to each of many streams, with a group that has read none.
const FILL: &str = "for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do redis.call('XADD', KEYS[1], \
    '*', 'id', 'event-' .. n, 'type', 'OrderPlaced', 'key', 'order-' .. n % 1000, 'payload', \
    ARGV[3]) end return 1";
const FILL_DEAD: &str = "for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do redis.call('XADD', \
    KEYS[1], '*', 'id', 'event-' .. n, 'type', 'OrderPlaced', 'key', 'order-' .. n % 1000, \
    'payload', ARGV[3], 'dead_stream', ARGV[4], 'dead_entry_id', '1-1', 'dead_group', 'mailer-' \
    .. n % 3, 'dead_attempts', '5', 'dead_error', 'HTTP ' .. n % 7 .. ': unavailable') end \
    return 1";
const FILL_STREAMS: &str = "for n = 1, tonumber(ARGV[1]) do local stream = 'events.s' .. n \
    redis.call('XADD', stream, '*', 'id', 'event', 'payload', ARGV[2]) \
    redis.call('XGROUP', 'CREATE', stream, 'billing', '0') end return 1";

/// A page, with the text that it must have. `BIG` and its dead letters are streams too.
const PAGES: [(&str, &str, &str); 10] = [
    ("overview", "/", "Overview"),
    ("streams", "/streams", "of 1\u{202f}002 streams"),
    ("streams by lag", "/streams?sort=lag", "of 1\u{202f}002 streams"),
    ("one stream", "/streams/show?name=events.order-0", "Older"),
    ("dead letters", "/dead-letters", "dead letters in"),
    ("letters of a filter", "/dead-letters/letters?reason=too_large", "Newer"),
    ("dead letters of a stream", "/dead-letters/stream?name=events.order-0", "dead letters in"),
    ("actions", "/actions", "Outboxes"),
    ("find by key", "/find?text=order-7&by=key", "What was looked at"),
    ("audit", "/audit", "Audit"),
];

pub(crate) async fn console(run: &mut Run) -> Outcome {
    let entries = if run.options.quick { 100_000 } else { 1_000_000 };
    fill(&run.stage, entries).await?;
    run.says(&format!("console: {entries} entries, {STREAMS} streams, {LETTERS} dead letters"));
    let (console, base) = start(&run.stage).await?;
    let pid = console.pid();
    for (name, path, word) in PAGES {
        let mut samples = Vec::new();
        // The first one connects.
        first_byte(&base, path, word).await?;
        for _ in 0..run.options.runs.max(3) {
            samples.push(first_byte(&base, path, word).await?);
        }
        let figure = Figure::new(
            Group::Console,
            format!("first byte of {name}"),
            Unit::Milliseconds,
            samples,
        );
        run.add(figure.target(Target::AtMost(FIRST_BYTE_MAX)));
        run.says(&format!("console: {name}"));
    }
    let looking = watched(&base, pid, run.options.idle * 4).await?;
    let figure = Figure::new(Group::Console, "CPU while somebody looks", Unit::Percent, looking);
    run.add(figure.target(Target::AtMost(1.0)));
    let idle = unwatched(&run.stage, pid, run.options.idle).await?;
    let figure = Figure::new(Group::Console, "CPU while nobody looks", Unit::Percent, idle);
    run.add(figure.target(Target::AtMost(0.5)));
    run.stage.sql("truncate outflow.dead_letter").await?;
    run.stage.clear_streams().await
}

async fn fill(stage: &Stage, entries: u64) -> Outcome {
    stage.clear_streams().await?;
    let payload = super::fill::payload(260);
    let dead = format!("{BIG}.dead");
    for first in (0..entries).step_by(usize::try_from(STEP)?) {
        let (first, last) = (first.to_string(), (first + STEP - 1).to_string());
        stage.command("EVAL", &[FILL, "1", BIG, &first, &last, &payload]).await?;
    }
    for first in (0..LETTERS).step_by(usize::try_from(STEP)?) {
        let (first, last) = (first.to_string(), (first + STEP - 1).to_string());
        stage.command("EVAL", &[FILL_DEAD, "1", &dead, &first, &last, &payload, BIG]).await?;
    }
    let streams = STREAMS.to_string();
    stage.command("EVAL", &[FILL_STREAMS, "0", &streams, &payload]).await?;
    for group in ["billing", "mailer", "search"] {
        stage.command("XGROUP", &["CREATE", BIG, group, "0"]).await?;
    }
    stage
        .sql(&format!(
            "truncate outflow.dead_letter; \
             insert into outflow.dead_letter (outbox, \"row\", event_id, key, type, payload, \
             stream, reason, detail) select 'outbox', n::text, gen_random_uuid()::text, 'order-' \
             || n % 1000, 'Type' || n % 20, convert_to('{payload}', 'utf8'), '{BIG}', \
             (array['too_large', 'refused', 'no_stream'])[n % 3 + 1], 'because of ' || n \
             from generate_series(1, {LETTERS}) n; analyze outflow.dead_letter"
        ))
        .await
}

/// A console of its own, which lets everybody in.
async fn start(stage: &Stage) -> Outcome<(Program, String)> {
    let dir = stage.path().join("console");
    std::fs::create_dir_all(&dir)?;
    let outflow = Outflow::new(binary(), &dir);
    let open = "[console]\nanonymous = \"operate\"\n";
    outflow.configure(&stage.postgres.url(), &stage.redis.url(), open)?;
    let listen = format!("127.0.0.1:{}", free_port()?);
    let console = outflow.start("console", &["console", "--listen", &listen], &[])?;
    let base = format!("http://{listen}");
    let url = format!("{base}/find");
    let answers =
        async || reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success());
    eventually(LIMIT, "the console", answers).await?;
    Ok((console, base))
}

/// Milliseconds until a page begins. It must be a whole one.
async fn first_byte(base: &str, path: &str, word: &str) -> Outcome<f64> {
    let begun = Instant::now();
    let answer = reqwest::get(format!("{base}{path}")).await?.error_for_status()?;
    let took = begun.elapsed().as_secs_f64() * 1_000.0;
    let text = answer.text().await?;
    if text.contains(word) && !text.contains("cannot be reached") {
        Ok(took)
    } else {
        Err(format!("no {word:?} in {path}: {text}").into())
    }
}

/// Percent of a core while the overview is open.
async fn watched(base: &str, pid: u32, during: Duration) -> Outcome<Vec<f64>> {
    let mut events = reqwest::get(format!("{base}/live")).await?.error_for_status()?;
    events.chunk().await?;
    let before = cpu::of_threads(pid)?;
    let watching = async { while let Ok(Some(_)) = events.chunk().await {} };
    if tokio::time::timeout(during, watching).await.is_ok() {
        return Err("the overview was no longer kept up to date".into());
    }
    let spent = cpu::of_threads(pid)?.saturating_sub(before);
    Ok(vec![100.0 * spent.as_secs_f64() / during.as_secs_f64()])
}

/// The same while nobody looks, which asks the databases nothing.
async fn unwatched(stage: &Stage, pid: u32, during: Duration) -> Outcome<Vec<f64>> {
    let sessions = "select count(*) from pg_stat_activity where application_name like 'outflow%'";
    let closed = async || stage.number(sessions).await.is_ok_and(|sessions| sessions == 0);
    eventually(LIMIT, "the console to close its sessions", closed).await?;
    let (asked_before, before) = (asked(stage).await?, cpu::of_threads(pid)?);
    tokio::time::sleep(during).await;
    let spent = cpu::of_threads(pid)?.saturating_sub(before);
    if asked(stage).await? != asked_before {
        return Err("the databases were asked while nobody looked".into());
    }
    Ok(vec![100.0 * spent.as_secs_f64() / during.as_secs_f64()])
}

/// Sessions that were ever begun in Postgres, and connections to Redis.
async fn asked(stage: &Stage) -> Outcome<(i64, String)> {
    let sessions = stage.number("select sum(sessions)::bigint from pg_stat_database").await?;
    let stats = stage.command("INFO", &["stats"]).await?.string().ok_or("INFO without a text")?;
    let received = stats.lines().find(|line| line.starts_with("total_connections_received:"));
    Ok((sessions, received.unwrap_or_default().to_owned()))
}
