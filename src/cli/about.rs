//! The commands about outflow itself: `version`, `completions`, `man`.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use super::output;
use crate::operate::migrate;
use outflow_core::fault::Fault;

const NAME: &str = "outflow";

#[derive(Debug, Args)]
pub(super) struct VersionArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// Shell to complete for
    ///
    /// For bash: `outflow completions bash > /etc/bash_completion.d/outflow`
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write one page per command to this directory instead of printing the main page
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn version(args: &VersionArgs) -> Result<(), Fault> {
    let version = env!("CARGO_PKG_VERSION");
    if !args.json {
        return output::line(format_args!("{NAME} {version}"));
    }
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    output::json(
        &serde_json::json!({"name": NAME, "version": version, "schema": migrate::VERSION, "os": os,
            "arch": arch}),
    )
}

pub(super) fn completions(args: &CompletionsArgs, mut command: Command) -> Result<(), Fault> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, NAME, &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())
}

pub(super) fn man(args: &ManArgs, command: Command) -> Result<(), Fault> {
    let failed = |error: std::io::Error| Fault::failed(format!("man page: {error}"));
    if let Some(dir) = &args.dir {
        return clap_mangen::generate_to(command, dir).map_err(failed);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(failed)?;
    output::line(String::from_utf8_lossy(&page).trim_end())
}
