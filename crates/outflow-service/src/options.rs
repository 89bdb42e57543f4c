//! Options from the command line and the environment, where an empty variable counts as unset. A
//! value on the command line wins over one of the environment, in whichever form either is given:
//! `--url` and `--url-file` are two forms of one value.

use std::ffi::OsString;

use clap::builder::Resettable;
use clap::{Arg, Command, CommandFactory, FromArgMatches};

/// What the name of an option ends with whose value is in a file.
const IN_FILE: &str = "_file";

/// Parses the options of this program; ends it with a usage error if they make no sense.
pub fn parse<O: CommandFactory + FromArgMatches>() -> O {
    let flags: Vec<OsString> = std::env::args_os().collect();
    let matches = without_what_does_not_count(O::command(), &flags).get_matches();
    O::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn without_what_does_not_count(command: Command, flags: &[OsString]) -> Command {
    let below: Vec<String> =
        command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    let command =
        command.mut_args(|arg| if counts(&arg, flags) { arg } else { arg.env(Resettable::Reset) });
    below.iter().fold(command, |command, name| {
        command.mut_subcommand(name, |below| without_what_does_not_count(below, flags))
    })
}

/// Whether the variable of an option counts.
fn counts(arg: &Arg, flags: &[OsString]) -> bool {
    let is_empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    let id = arg.get_id().as_str();
    let plain = id.strip_suffix(IN_FILE).unwrap_or(id);
    !is_empty && !is_given(plain, flags) && !is_given(&format!("{plain}{IN_FILE}"), flags)
}

fn is_given(id: &str, flags: &[OsString]) -> bool {
    let flag = format!("--{}", id.replace('_', "-"));
    flags.iter().any(|given| {
        let given = given.to_string_lossy();
        given == flag || given.strip_prefix(&flag).is_some_and(|rest| rest.starts_with('='))
    })
}
