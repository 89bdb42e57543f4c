//! What can go wrong with private servers, in words that say what to do.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a private server or a child process is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server's program is not installed.
    #[error(
        "{program} was not found in PATH, /usr/sbin or /usr/lib/postgresql/*/bin; install it: \
         {hint}"
    )]
    Missing {
        /// The program that was looked for.
        program: String,
        /// The command that installs it.
        hint: &'static str,
    },
    /// A program is not where a variable of the environment says.
    #[error("{variable} names {}, where there is no {program}", .directory.display())]
    NotChosen {
        /// The program that was looked for.
        program: String,
        /// The variable.
        variable: &'static str,
        /// The directory that it names.
        directory: PathBuf,
    },
    /// Packages of the Python package index could not be installed.
    #[error(
        "cannot install from the Python package index: {packages}. Python 3 with venv is needed \
         (`make tools` installs it, or: apt-get install python3 python3-venv), and access to the \
         Python package index. {said}"
    )]
    Python {
        /// What was to be installed.
        packages: String,
        /// The step that failed, and what it said.
        said: String,
    },
    /// One of our own programs is not beside the running one.
    #[error("{} does not exist; build it: cargo build --bins", .0.display())]
    NotBuilt(PathBuf),
    /// A file, a directory or a process could not be handled.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, with the path.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Postgres refuses to run as root, and its user could not be given what it needs.
    #[error("{0}")]
    User(String),
    /// A child process failed, or ended when it should have kept running.
    #[error("{what}; the end of its log:\n{log}")]
    Failed {
        /// Which process, and how it ended.
        what: String,
        /// The last lines of its log.
        log: String,
    },
    /// A condition did not come true in time.
    #[error("waited {limit:?} in vain for {what}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
    },
}

impl Error {
    /// An [`Error::Io`] about a path, for `map_err`.
    pub fn io(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let doing = format!("{doing} {}", path.display());
        move |source| Self::Io { doing, source }
    }
}
