//! Where the programs are: the servers' in the directories that the environment names, in PATH, and
//! in Debian's Postgres directories; ours beside the running one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::Error;

const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

/// Variables that name a directory with a server of another version, and the programs that are
/// taken from there and from nowhere else (`make matrix`).
const CHOSEN: [(&str, &[&str]); 2] = [
    ("OUTFLOW_TEST_POSTGRES_BIN", &["initdb", "postgres", "pg_basebackup"]),
    ("OUTFLOW_TEST_REDIS_BIN", &["redis-server"]),
];

/// Finds an installed program (`postgres`, `redis-server`, `promtool`): in PATH, else where Debian
/// keeps programs out of a user's PATH: `/usr/lib/postgresql/*/bin`, the newest version first, and
/// `/usr/sbin`.
///
/// # Errors
/// [`Error::Missing`] says what to install; [`Error::NotChosen`] that it is not where a variable
/// says.
pub fn find(program: &str) -> Result<PathBuf, Error> {
    if let Some((variable, directory)) = chosen(program) {
        let file = directory.join(program);
        let missing = || Error::NotChosen { program: program.to_owned(), variable, directory };
        return if file.is_file() { Ok(file) } else { Err(missing()) };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    in_path
        .into_iter()
        .chain(debian_directories())
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| Error::Missing { program: program.to_owned(), hint: hint(program) })
}

/// The directory that a variable names for this program.
fn chosen(program: &str) -> Option<(&'static str, PathBuf)> {
    let (variable, _) = CHOSEN.iter().find(|(_, programs)| programs.contains(&program))?;
    let directory = std::env::var_os(variable).filter(|directory| !directory.is_empty())?;
    // A server is started in a directory of its own.
    Some((variable, std::path::absolute(directory).ok()?))
}

/// What installs a program.
fn hint(program: &str) -> &'static str {
    match program {
        "chromium" | "chromedriver" => "`make tools`, or: apt-get install chromium chromium-driver",
        "pgbouncer" => "`make tools`, or: apt-get install pgbouncer",
        "prometheus" | "promtool" => "`make tools`, or: apt-get install prometheus",
        "systemd-analyze" => "`make tools`, or: apt-get install systemd",
        _ => "`make servers`, or: apt-get install postgresql redis-server",
    }
}

/// The path of one of our own programs: beside the running one, or one directory up for a test,
/// which cargo puts into `deps/`.
///
/// # Errors
/// [`Error::NotBuilt`] when it is not there.
pub fn binary(name: &str) -> Result<PathBuf, Error> {
    let own =
        std::env::current_exe().map_err(Error::io("finding the directory of", Path::new(name)))?;
    let beside = own.parent().unwrap_or(Path::new("/"));
    let directory = if is_deps(beside) { beside.parent().unwrap_or(beside) } else { beside };
    let file = directory.join(name);
    if file.is_file() { Ok(file) } else { Err(Error::NotBuilt(file)) }
}

/// Whether a directory is cargo's `deps/`, where test and benchmark programs are.
pub(super) fn is_deps(directory: &Path) -> bool {
    directory.file_name() == Some(OsStr::new("deps"))
}

fn debian_directories() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(DEBIAN_POSTGRES) else { return Vec::new() };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, directory)| directory).collect()
}
