//! The program explains itself; what it does is tested with the relay (`tests/it/demo.rs`). Having
//! an integration test also makes cargo build the program.

use std::process::Command;

fn demo(args: &[&str]) -> (Option<i32>, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_demo")).args(args).output().expect("the program runs");
    (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
}

#[test]
fn chaos_that_cannot_be_done_is_refused() {
    let (code, said) = demo(&["--chaos", "nonsense"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("programs") && said.contains("redis-rollback"), "{said}");
    let (code, said) = demo(&["--chaos", "redis-rollback", "--orders", "50"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--orders 50") && said.contains("--orders 400 or more"), "{said}");
}

#[test]
fn it_explains_every_option() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_demo")).arg("--help").output().expect("the program runs");
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{help}");
    for option in ["--orders", "--rate", "--clients", "--chaos", "redis-rollback"] {
        assert!(help.contains(option), "{option} is not explained:\n{help}");
    }
}
