//! `outflow stream retry`: a parked stream is tried now.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::cli::connect::to_postgres;
use crate::cli::output;
use crate::config::Config;
use crate::operate::audit::Who;
use crate::operate::{parked, pause};
use outflow_core::escape::{CELL, printable};
use outflow_core::fault::Fault;
use outflow_service::terminal;

#[derive(Debug, Args)]
pub(in crate::cli) struct RetryArgs {
    /// Name of the parked stream, such as `events.order`
    #[arg(value_name = "STREAM", value_parser = NonEmptyStringValueParser::new())]
    stream: String,
    /// Only the relays of this outbox
    ///
    /// Default: of every outbox whose rows can have this stream.
    #[arg(long, value_name = "NAME")]
    outbox: Option<String>,
    /// Print one JSON object per outbox
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(args: RetryArgs, config: Config) -> Result<(), Fault> {
    let RetryArgs { stream, outbox, json } = args;
    let outboxes = pause::chosen(&config.outboxes, outbox.as_deref())?;
    let writers = pause::writers(&outboxes, &stream);
    if writers.is_empty() {
        return Err(pause::unknown_stream(&outboxes, &stream, &[]));
    }
    let client = to_postgres(&config, "outflow stream retry").await?;
    let targets = pause::registered(&client, &writers).await?;
    let asked = parked::try_now(&client, &targets, &stream, &Who::command_line()).await?;
    let name = printable(&stream, CELL);
    for one in &asked {
        if json {
            output::json(one)?;
            continue;
        }
        output::line(format_args!("{}: its relays try {name} now", one.outbox))?;
        if !one.is_known_parked {
            terminal::say(format_args!("outflow: no relay says that it has parked {name}"));
        }
    }
    Ok(())
}
