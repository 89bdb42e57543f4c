//! `outflow config`: what counts, and where it comes from.

use clap::Args;

use super::output;
use crate::config::{Source, show};
use outflow_core::fault::Fault;

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// Print the source of each value: default, file or environment
    #[arg(long)]
    origin: bool,
}

pub(super) fn run(args: &ConfigArgs, source: &Source) -> Result<(), Fault> {
    let text =
        show(source, args.origin).map_err(|problem| Fault::from(problem).at("configuration"))?;
    output::line(text.trim_end())
}
