//! Layers: the example file < the user's file < environment. figment is named here and in `problem` only.

use std::fs;
use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format as _, Toml};
use secrecy::SecretString;

use super::file::{File, Server};
use super::{Config, EXAMPLE, Problem, Source, validate};

/// Name of the lowest layer in figment's metadata.
const ENV_PREFIX: &str = "OUTFLOW_";

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
    for (server, key) in [(&mut file.postgres, "postgres"), (&mut file.redis, "redis")] {
        resolve_secret(server, &given, key)?;
    }
    validate::validate(file, defaults)
}

/// What was given: file and environment, without the defaults.
pub(super) fn given(source: &Source) -> Result<Figment, Problem> {
    let mut layers = Figment::new();
    if let Some(path) = &source.file {
        if !path.is_file() {
            return Err(Problem::new("", format!("{}: there is no such file", path.display())));
        }
        layers = layers.merge(Toml::file_exact(path));
    }
    // OUTFLOW_CONFIG names the file and is no key of it.
    Ok(layers.merge(Env::prefixed(ENV_PREFIX).ignore(&["config"]).split("__")))
}

/// Replaces the address by the content of `url_file`, if that is given.
fn resolve_secret(server: &mut Server, given: &Figment, key: &str) -> Result<(), Problem> {
    let Some(path) = &server.url_file else { return Ok(()) };
    let key_file = format!("{key}.url_file");
    if given.contains(&format!("{key}.url")) {
        return Err(Problem::new(key_file, format!("{key}.url is given as well; keep one of them")));
    }
    server.url = read_secret(path).map_err(|message| Problem::new(key_file, message))?;
    Ok(())
}

fn read_secret(path: &Path) -> Result<SecretString, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err(format!("{}: is empty", path.display())) } else { Ok(SecretString::from(text)) }
}
