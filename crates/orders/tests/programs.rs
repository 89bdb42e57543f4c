//! Both programs start and explain themselves. Having integration tests also makes cargo build the
//! programs, which the tests of the relay run too.

use std::process::Command;

#[test]
fn both_programs_explain_every_option() {
    for program in [env!("CARGO_BIN_EXE_order-api"), env!("CARGO_BIN_EXE_order-consumer")] {
        let output = Command::new(program).arg("--help").output().expect("the program runs");
        let help = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{program}: {help}");
        for option in ["--postgres-url", "--postgres-url-file", "--listen", "--log-level"] {
            assert!(help.contains(option), "{program} does not explain {option}:\n{help}");
        }
    }
}
