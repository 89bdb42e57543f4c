//! A password that the address does not have: from `PGPASSWORD`, or from a file of passwords
//! (`passfile`, `PGPASSFILE`, `~/.pgpass`), as libpq finds it. No other variable of libpq is read:
//! an address says the rest itself.

use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::secret_file;
use outflow_core::fault::Fault;

const DEFAULT_PORT: u16 = 5432;

/// Adds the password, if there is one. `named`: the file that the address names.
///
/// # Errors
/// A file that is named cannot be read, or others can read it.
pub(super) fn add(config: &mut Config, named: Option<&Path>) -> Result<(), Fault> {
    if config.get_password().is_some() {
        return Ok(());
    }
    if let Some(password) = variable("PGPASSWORD") {
        config.password(password.as_encoded_bytes());
        return Ok(());
    }
    let named = named.map(Path::to_owned).or_else(|| variable("PGPASSFILE").map(PathBuf::from));
    let text = match (named, variable("HOME")) {
        (Some(file), _) => {
            secret_file::check(&file).map_err(|fault| fault.at("passfile"))?;
            std::fs::read_to_string(&file).map_err(|error| {
                let what = format!("passfile: {}: {error}", file.display());
                Fault::configuration(what).because(error)
            })?
        }
        // As libpq: one that is missing, or that others can read, counts for nothing.
        (None, Some(home)) => {
            let file = Path::new(&home).join(".pgpass");
            let is_closed = secret_file::check(&file).is_ok();
            is_closed.then(|| std::fs::read_to_string(&file).ok()).flatten().unwrap_or_default()
        }
        (None, None) => return Ok(()),
    };
    if let Some(password) = text.lines().find_map(|line| matching(line, &wanted(config))) {
        config.password(password);
    }
    Ok(())
}

fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Host, port, database and user of each host that may be connected to.
fn wanted(config: &Config) -> Vec<[String; 4]> {
    let own_name = || {
        User::from_uid(Uid::effective()).ok().flatten().map(|user| user.name).unwrap_or_default()
    };
    let user = config.get_user().map_or_else(own_name, str::to_owned);
    let database = config.get_dbname().unwrap_or(&user).to_owned();
    let ports = config.get_ports();
    let port = |index: usize| {
        ports.get(index).or(ports.first()).copied().unwrap_or(DEFAULT_PORT).to_string()
    };
    let host = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(_) => "localhost".to_owned(),
    };
    let hosts = config.get_hosts().iter().enumerate();
    hosts.map(|(index, name)| [host(name), port(index), database.clone(), user.clone()]).collect()
}

/// The password of a line `host:port:database:user:password`, in which `*` stands for anything and
/// a backslash for the character behind it, if it is for one of those.
fn matching(line: &str, wanted: &[[String; 4]]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let (mut fields, mut field) = (Vec::with_capacity(4), String::new());
    let mut letters = line.chars();
    // Whatever is behind the fourth colon is the password, colons included.
    while fields.len() < 4 {
        match letters.next()? {
            ':' => fields.push(std::mem::take(&mut field)),
            '\\' => field.extend(letters.next()),
            other => field.push(other),
        }
    }
    let fits = |one: &[String; 4]| {
        fields.iter().zip(one).all(|(field, wanted)| field == "*" || field == wanted)
    };
    if !wanted.iter().any(fits) {
        return None;
    }
    let mut password = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => password.extend(letters.next()),
            other => password.push(other),
        }
    }
    Some(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_libpq_reads_them() {
        let config: Config = "postgres://me@one,two:6/app".parse().expect("an address");
        let wanted = wanted(&config);
        let table = [
            ("one:5432:app:me:secret", Some("secret")),
            ("two:6:app:me:secret", Some("secret")),
            ("*:*:*:*:a\\:b\\\\c", Some("a:b\\c")),
            ("*:*:*:me:a:b", Some("a:b")),
            ("#one:5432:app:me:secret", None),
            ("two:5432:app:me:secret", None),
            ("one:5432:app:you:secret", None),
            ("one:5432", None),
        ];
        for (line, expected) in table {
            assert_eq!(matching(line, &wanted).as_deref(), expected, "{line}");
        }
    }
}
