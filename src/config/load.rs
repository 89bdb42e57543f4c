//! Layers: the example file < the user's file < environment. figment is named here and in `problem` only.

use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format as _, Toml};
use secrecy::SecretString;

use super::file::File;
use super::{Config, EXAMPLE, Problem, Source, validate};
use crate::{postgres, redis, secret_file};

/// What the names of environment variables start with.
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
    let mut secret_files = Vec::new();
    let File { postgres, redis, .. } = &mut file;
    for (url, path, server) in
        [(&mut postgres.url, &postgres.url_file, "postgres"), (&mut redis.url, &redis.url_file, "redis")]
    {
        let Some(path) = path else { continue };
        *url = secret(path, server, &given)?;
        secret_files.push(secret_file::resolve(path));
    }
    add_parameters(&mut file)?;
    let config = validate::validate(file, defaults)?;
    Ok(Config { secret_files, ..config })
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

/// The address of a server that `url_file` holds.
fn secret(path: &Path, server: &str, given: &Figment) -> Result<SecretString, Problem> {
    let key_file = format!("{server}.url_file");
    if given.contains(&format!("{server}.url")) {
        return Err(Problem::new(key_file, format!("{server}.url is given as well; keep one of them")));
    }
    secret_file::read(path).map_err(|message| Problem::new(key_file, message))
}

/// The keys about TLS become parameters of the address, which is all that the rest of the program gets to see.
fn add_parameters(file: &mut File) -> Result<(), Problem> {
    let File { postgres, redis, .. } = file;
    let (libpq, redis_py) = (postgres::NAMES, redis::NAMES);
    let given = [
        (postgres::MODE, &postgres.sslmode),
        (libpq.authorities, &postgres.sslrootcert),
        (libpq.certificate, &postgres.sslcert),
        (libpq.key, &postgres.sslkey),
    ];
    for (name, value) in given.into_iter().filter(|(_, value)| !value.is_empty()) {
        let longer = postgres::with_parameter(&postgres.url, name, value);
        postgres.url = longer.ok_or_else(|| twice("postgres", name))?;
    }
    let given = [
        (redis_py.authorities, &redis.ssl_ca_certs),
        (redis_py.certificate, &redis.ssl_certfile),
        (redis_py.key, &redis.ssl_keyfile),
    ];
    for (name, value) in given.into_iter().filter(|(_, value)| !value.is_empty()) {
        redis.url = redis::with_parameter(&redis.url, name, value).ok_or_else(|| twice("redis", name))?;
    }
    Ok(())
}

fn twice(server: &str, name: &str) -> Problem {
    Problem::new(format!("{server}.{name}"), format!("{server}.url has {name} as well; keep one of them"))
}
