//! The relay's command over private servers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Error, Program};

/// How `outflow` is started: its binary, its configuration, and the directory for its log.
#[derive(Debug, Clone)]
pub struct Outflow {
    binary: PathBuf,
    config: PathBuf,
    dir: PathBuf,
}

impl Outflow {
    /// Its configuration will be `dir/outflow.toml`.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>, dir: &Path) -> Self {
        Self { binary: binary.into(), config: dir.join("outflow.toml"), dir: dir.to_owned() }
    }

    /// Its binary.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Its configuration.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Writes its configuration: both addresses, then `more`.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn configure(&self, postgres: &str, redis: &str, more: &str) -> Result<(), Error> {
        let text = format!("[postgres]\nurl = \"{postgres}\"\n[redis]\nurl = \"{redis}\"\n{more}");
        std::fs::write(&self.config, text).map_err(Error::io("writing", &self.config))
    }

    /// Starts it with these arguments and its configuration; `envs` come on top.
    ///
    /// # Errors
    /// As [`Program::start`].
    pub fn start(
        &self,
        name: &str,
        args: &[&str],
        envs: &[(&str, &str)],
    ) -> Result<Program, Error> {
        let config = self.config.display().to_string();
        let args: Vec<&str> = args.iter().copied().chain(["--config", &config]).collect();
        Program::start(name, &self.binary, &args, envs, &self.dir)
    }

    /// Runs a command that must succeed to its end.
    ///
    /// # Errors
    /// [`Error::Failed`] with the end of its log if it fails; [`Error::Late`] if it does not end.
    pub async fn succeed(&self, name: &str, args: &[&str], limit: Duration) -> Result<(), Error> {
        let mut program = self.start(name, args, &[])?;
        let status = program.wait(limit).await?;
        if status.success() {
            return Ok(());
        }
        Err(program.failure(&format!("outflow {args:?}: {status}")))
    }
}
