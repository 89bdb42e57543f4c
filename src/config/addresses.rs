//! The addresses of both servers: which layer's count, and with which parameters.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format as _, Toml};
use secrecy::{ExposeSecret as _, SecretString};

use super::environment::PREFIX;
use super::example::ADDRESSES;
use super::file::File;
use super::layers::given;
use super::{Notice, Problem, Source};
use outflow_connect::{address, postgres, redis, secret_file};

const OTHERS_READ: u32 = 0o004;

/// Puts the addresses that count into `file`, with their parameters. Returns the files that
/// addresses were read from.
pub(super) fn settle(file: &mut File, given: &Figment) -> Result<Vec<PathBuf>, Problem> {
    let mut secret_files = Vec::new();
    let File { postgres, redis, .. } = file;
    for (url, path, key) in [
        (&mut postgres.url, &postgres.url_file, "postgres.url"),
        (&mut postgres.control_url, &postgres.control_url_file, "postgres.control_url"),
        (&mut redis.url, &redis.url_file, "redis.url"),
    ] {
        let file_key = format!("{key}_file");
        let Some(path) = path else { continue };
        if superseded(given, key)?.as_ref() == Some(&file_key) {
            continue;
        }
        *url = secret_file::read(path).map_err(|fault| Problem::of_fault(file_key, fault))?;
        secret_files.push(secret_file::resolve(path));
    }
    add_parameters(file, given)?;
    Ok(secret_files)
}

/// Of an address and its `_file`, the one that does not count because the environment has the
/// other.
pub(super) fn superseded(given: &Figment, key: &str) -> Result<Option<String>, Problem> {
    let (url, file) = (key.to_owned(), format!("{key}_file"));
    if !given.contains(&url) || !given.contains(&file) {
        return Ok(None);
    }
    match (is_from_environment(given, &url), is_from_environment(given, &file)) {
        (true, false) => Ok(Some(file)),
        (false, true) => Ok(Some(url)),
        (true, true) | (false, false) => {
            let what = format!("{url} is given as well");
            Err(Problem::new(file, what).remedy("keep one of them"))
        }
    }
}

fn is_from_environment(given: &Figment, key: &str) -> bool {
    given.find_metadata(key).is_some_and(|metadata| metadata.name.contains("environment"))
}

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Where the outbox tables are.
    Postgres,
    /// Where the streams are.
    Redis,
}

impl Server {
    /// Its section of the configuration.
    fn section(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }
}

/// The servers in `needed` for which no address was given. The default addresses are only for a try
/// on one machine.
///
/// # Errors
/// As [`super::load`].
pub fn without_address(source: &Source, needed: &[Server]) -> Result<Vec<Problem>, Problem> {
    let given = given(source)?;
    let has = |server: &str, key: &str| given.contains(&format!("{server}.{key}"));
    let missing = needed
        .iter()
        .map(|server| server.section())
        .filter(|server| !has(server, "url") && !has(server, "url_file"));
    let problem = |server: &str| {
        let variable = format!("{PREFIX}{}__URL", server.to_uppercase());
        Problem::new(format!("{server}.url"), "no address is configured").remedy(format!(
            "set {server}.url or {server}.url_file in a file (--config FILE), or {variable}"
        ))
    };
    Ok(missing.map(problem).collect())
}

/// Warns of a file of the configuration that has a password in it and that everybody can read.
pub(super) fn open_file(source: &Source, given: &Figment) -> Option<Notice> {
    let file = source.file.as_deref()?;
    let mode = std::fs::metadata(file).ok()?.permissions().mode();
    let own = Figment::from(Toml::file_exact(file));
    let has_password = |key: &str| {
        // Also one that the environment replaces: it lies there.
        own.extract_inner::<String>(key).is_ok_and(|url| address::has_secret(&url))
            && given.contains(key)
    };
    if mode & OTHERS_READ == 0 || !ADDRESSES.iter().any(|key| has_password(key)) {
        return None;
    }
    Some(open(file, mode))
}

fn open(file: &Path, mode: u32) -> Notice {
    let (file, mode) = (file.display(), mode & 0o777);
    Notice {
        what: format!("{file}: it has a password in it and others can read it (mode {mode:04o})"),
        remedy: format!(
            "run: chmod o-rwx {file}, or keep the address in a file of its own (url_file)"
        ),
    }
}

/// The keys about TLS become parameters of the address, which is all that the rest of the program
/// gets to see.
fn add_parameters(file: &mut File, given: &Figment) -> Result<(), Problem> {
    let File { postgres, redis, .. } = file;
    let (libpq, redis_py) = (postgres::NAMES, redis::NAMES);
    let keys = [
        (postgres::MODE, &postgres.sslmode),
        (libpq.authorities, &postgres.sslrootcert),
        (libpq.certificate, &postgres.sslcert),
        (libpq.key, &postgres.sslkey),
    ];
    let with = (postgres::has_parameter, postgres::with_parameter);
    postgres.url = longer(&postgres.url, "postgres.url", keys, given, with)?;
    if !postgres.control_url.expose_secret().is_empty() {
        postgres.control_url =
            longer(&postgres.control_url, "postgres.control_url", keys, given, with)?;
    }
    let keys = [
        (redis_py.authorities, &redis.ssl_ca_certs),
        (redis_py.certificate, &redis.ssl_certfile),
        (redis_py.key, &redis.ssl_keyfile),
    ];
    let with = (redis::has_parameter, redis::with_parameter);
    redis.url = longer(&redis.url, "redis.url", keys, given, with)?;
    Ok(())
}

/// An address with more parameters. What the environment says of one wins over the file, as
/// everywhere.
fn longer<const N: usize>(
    url: &SecretString,
    address: &str,
    keys: [(&str, &String); N],
    given: &Figment,
    (has, with): (
        impl Fn(&SecretString, &str) -> bool,
        impl Fn(&SecretString, &str, &str) -> SecretString,
    ),
) -> Result<SecretString, Problem> {
    let mut longer = SecretString::from(url.expose_secret());
    let section = address.split('.').next().unwrap_or_default();
    let address_is_from_environment =
        ["", "_file"].iter().any(|end| is_from_environment(given, &format!("{address}{end}")));
    for (name, value) in keys.into_iter().filter(|(_, value)| !value.is_empty()) {
        let key = format!("{section}.{name}");
        match (has(url, name), address_is_from_environment, is_from_environment(given, &key)) {
            (true, true, false) => {}
            // The last one counts.
            (false, ..) | (true, false, true) => longer = with(&longer, name, value),
            (true, true, true) | (true, false, false) => {
                let what = format!("{address} has {name} as well");
                return Err(Problem::new(key, what).remedy("keep one of them"));
            }
        }
    }
    Ok(longer)
}
