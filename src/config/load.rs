//! Layers: the example file < the user's file < environment. figment is named here and in `problem`
//! only.

use figment::Figment;
use figment::providers::{Format as _, Toml};

use super::example::EXAMPLE;
use super::file::File;
use super::layers::given;
use super::{Config, Problem, Source, addresses, environment, validate};

/// Reads and validates the configuration.
///
/// # Errors
/// The first problem that was found: where, which key, and what is expected.
pub fn load(source: &Source) -> Result<Config, Problem> {
    let given = given(source)?;
    let example = Figment::from(Toml::string(EXAMPLE));
    let whole = given.clone().join(Toml::string(EXAMPLE));

    let defaults: File = example.extract().map_err(|error| Problem::from_figment(&error))?;
    let mut file: File = whole.extract().map_err(|error| Problem::from_figment(&error))?;
    let secret_files = addresses::settle(&mut file, &given)?;
    let notices = environment::service_links()
        .into_iter()
        .chain(addresses::open_file(source, &given))
        .collect();
    let config = validate::validate(file, defaults)?;
    Ok(Config { secret_files, notices, ..config })
}
