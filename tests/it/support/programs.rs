//! The programs of the other packages, which cargo builds into the directory of ours.

/// The path of `order-api`, `order-consumer` or `demo`.
///
/// cargo names only the programs of the package under test (`CARGO_BIN_EXE_…`).
pub(crate) fn program(name: &str) -> &'static str {
    let file = outflow_local::binary(name).unwrap_or_else(|error| panic!("{error}"));
    file.to_str().expect("a path in UTF-8").to_owned().leak()
}
