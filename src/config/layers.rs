//! What was given: the user's file, and above it the environment.

use figment::Figment;
use figment::providers::{Format as _, Toml};

use super::{Problem, Source, environment};
use outflow_connect::address;

/// What was given: file and environment, without the defaults.
pub(super) fn given(source: &Source) -> Result<Figment, Problem> {
    let mut layers = Figment::new();
    if let Some(path) = &source.file {
        if address::is_address(path) {
            return Err(Problem::new(
                "",
                "expected the path of a configuration file, found an address",
            ));
        }
        if !path.is_file() {
            return Err(Problem::new("", format!("{}: there is no such file", path.display())));
        }
        layers = layers.merge(Toml::file_exact(path));
    }
    Ok(layers.merge(environment::layer()))
}
