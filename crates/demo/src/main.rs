//! The `demo` command: the whole pipeline on this machine, in one terminal.

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use outflow_demo::{Chaos, Interrupts, Outcome, Plan, run};

/// What a shell reports for a process that Ctrl-C ended.
const EXIT_INTERRUPTED: u8 = 130;

/// Run the whole pipeline on this machine, with private servers
///
/// Starts a private Postgres and a private Redis, and runs order-api, outflow and the three steps
/// of order-consumer. Places orders, shows what arrives, and removes everything at the end.
#[derive(Parser)]
#[command(name = "demo", version)]
struct Cli {
    /// Number of orders to place; the demo then waits until all are consumed, and checks them
    ///
    /// Default: place orders until Ctrl-C.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    orders: Option<u64>,
    /// Orders to place per second
    #[arg(
        long,
        value_name = "PER_SECOND",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    rate: u32,
    /// Number of clients that place orders, one order at a time each
    #[arg(
        long,
        value_name = "C",
        default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    clients: u32,
    /// Let something go wrong while orders are placed; without KIND, the programs
    #[arg(
        long,
        value_name = "KIND",
        value_enum,
        num_args = 0..=1,
        default_missing_value = "programs"
    )]
    chaos: Option<Chaos>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { orders, rate, clients, chaos } = Cli::parse();
    let plan = Plan { orders, rate, clients, chaos };
    if let Some(problem) = plan.problem() {
        Cli::command().error(ErrorKind::ValueValidation, problem).exit();
    }
    let interrupts = match Interrupts::install() {
        Ok(interrupts) => interrupts,
        Err(error) => return fail(&format!("installing the signal handlers: {error}")),
    };
    match run(plan, &interrupts).await {
        Ok(outcome) => report(&outcome),
        Err(error) => fail(&error.to_string()),
    }
}

fn report(outcome: &Outcome) -> ExitCode {
    for complaint in &outcome.complaints {
        complain(complaint);
    }
    // The last line of a run is its verdict. A closed pipe does not change it.
    let _ = writeln!(std::io::stdout(), "{}", outcome.tally);
    match (outcome.is_success(), outcome.interrupted) {
        (true, _) => ExitCode::SUCCESS,
        (false, true) => ExitCode::from(EXIT_INTERRUPTED),
        (false, false) => ExitCode::FAILURE,
    }
}

fn fail(message: &str) -> ExitCode {
    complain(&format!("demo: {message}"));
    ExitCode::FAILURE
}

/// Unlike `eprintln!`, does not panic when the terminal is gone.
fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}
