//! `outflow check`: one line a finding, and an exit code.

use std::process::ExitCode;

use clap::Args;

use super::exit::{EXIT_CONFIGURATION, EXIT_UNAVAILABLE};
use super::output;
use crate::config::{Config, Problem};
use crate::operate::check::{self, Finding, Findings, Level, Remedy};
use outflow_core::fault::Fault;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Check only the configuration, without connecting to a server
    #[arg(long)]
    pub(super) offline: bool,
    /// Print each finding as one JSON object per line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: CheckArgs, config: Config) -> Result<ExitCode, Fault> {
    let mut findings = Findings::of_configuration(&config);
    if !args.offline {
        check::servers(&config, &mut findings).await;
    }
    findings.list().iter().try_for_each(|finding| tell(finding, args.json))?;
    Ok(ExitCode::from(match findings.level() {
        Level::Ok | Level::Warning => 0,
        Level::Unreachable => EXIT_UNAVAILABLE,
        Level::Error => EXIT_CONFIGURATION,
    }))
}

/// A configuration that cannot be read is a finding too.
pub(super) fn unreadable(args: &CheckArgs, problem: &Problem) -> Result<ExitCode, Fault> {
    let fault = Fault::from(problem.clone());
    let remedy = fault.to_do().unwrap_or("correct it and check again");
    let finding = Finding {
        level: Level::Error,
        kind: Some(fault.kind()),
        about: "configuration".to_owned(),
        what: fault.what().to_owned(),
        remedy: Some(Remedy::Advice(remedy.to_owned())),
    };
    tell(&finding, args.json).map(|()| ExitCode::from(EXIT_CONFIGURATION))
}

fn tell(finding: &Finding, json: bool) -> Result<(), Fault> {
    if json { output::json(finding) } else { output::line(finding) }
}
