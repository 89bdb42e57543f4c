//! The `outflow` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    outflow::cli::main()
}
