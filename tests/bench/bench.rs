//! `make bench`: every figure of `docs/benchmarks.md`, measured with private servers, the real
//! binary, and the servers' own benchmarks beside it as ceilings.
//!
//! What is compared is measured in turns, so that whatever else the machine does hits both.

#![allow(clippy::disallowed_methods, reason = "their tasks end with their runtime")]

mod backlog;
mod ceilings;
mod console;
mod cpu;
mod drain;
mod figure;
mod fill;
mod keep;
mod kept;
mod latency;
mod options;
mod picture;
mod reader;
mod report;
mod resources;
mod retention;
mod run;
mod stage;
mod trim;
mod variants;
mod writer;
mod writers;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use options::Options;
use run::Run;
use stage::Stage;

/// What a measurement gives, or why there is none: any error ends the benchmark, none is made a
/// number.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench");

#[tokio::main]
async fn main() -> ExitCode {
    match bench().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn bench() -> Outcome {
    let options = Options::from_environment()?;
    let mut run = Run::new(Stage::new().await?, options);
    run.says("servers are ready");
    run.measure().await?;
    let versions = versions(&run.stage).await?;
    let caption = caption(&run, &versions);
    write_down(&run, &versions, &caption)?;
    let mut out = std::io::stdout().lock();
    write!(out, "\n{}\n{}\n", report::table(&run), caption.join("\n"))?;
    Ok(())
}

/// JSON and picture. Only a complete run replaces the picture in README.
fn write_down(run: &Run, versions: &[(&str, String)], caption: &[String]) -> Outcome {
    let out = Path::new(DIRECTORY).join("out");
    fs::create_dir_all(&out)?;
    fs::write(out.join("bench.json"), format!("{:#}\n", report::json(run, versions)))?;
    let picture =
        if run.options.is_complete() { Path::new(DIRECTORY) } else { &out }.join("bench.svg");
    fs::write(&picture, picture::draw(&run.figures, caption))?;
    run.says(&format!("written: {} and {}", out.join("bench.json").display(), picture.display()));
    Ok(())
}

async fn versions(stage: &Stage) -> Outcome<Vec<(&'static str, String)>> {
    let postgres: String = stage.client.query_one("show server_version", &[]).await?.get(0);
    let info = stage.command("INFO", &["server"]).await?;
    let info = String::from_utf8_lossy(info.text().ok_or("INFO without a text")?).into_owned();
    let redis = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"))
        .unwrap_or("?")
        .trim()
        .to_owned();
    let postgres = postgres.split_whitespace().next().unwrap_or("?").to_owned();
    Ok(vec![
        ("outflow", env!("CARGO_PKG_VERSION").to_owned()),
        ("postgres", postgres),
        ("redis", redis),
    ])
}

/// How it was measured, and with what: a line each.
fn caption(run: &Run, versions: &[(&str, String)]) -> [String; 3] {
    let versions: Vec<String> =
        versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let how = if run.options.quick {
        "QUICK: one run, few rows, not to be quoted."
    } else {
        "Medians of three runs or more; lines from least to most."
    };
    let cores =
        format!("{cpus} cores, shared by Postgres, Redis, the relay and what measures them.");
    let servers =
        format!("{}. Postgres with fsync, Redis without its log unless said.", versions.join(", "));
    [how.to_owned(), cores, servers]
}
