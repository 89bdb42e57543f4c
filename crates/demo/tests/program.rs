//! The program explains itself; what it does is tested with the relay (`tests/it/demo.rs`). Having
//! an integration test also makes cargo build the program.

use std::process::Command;

#[test]
fn it_explains_every_option() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_demo")).arg("--help").output().expect("the program runs");
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{help}");
    for option in ["--orders", "--rate", "--clients", "--chaos"] {
        assert!(help.contains(option), "{option} is not explained:\n{help}");
    }
}
