//! A child process with its log in a file, which ends at the latest when its handle is dropped.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

use super::{Error, eventually};

const LOG_TAIL_LINES: usize = 25;
/// Variables that would configure our programs behind the caller's back.
const OWN_VARIABLES: [&[u8]; 3] = [b"OUTFLOW_", b"ORDER_API_", b"ORDER_CONSUMER_"];
const DROP_POLL_INTERVAL: Duration = Duration::from_millis(2);

/// A running (or ended) child process.
///
/// It has its own process group, so that Ctrl-C in a terminal reaches only us and the order of
/// stopping stays ours.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `path` in the directory `dir`, with its output appended to `dir/NAME.log`. Our
    /// environment is passed on except for what would configure our programs (`OUTFLOW_*`,
    /// `ORDER_API_*`, `ORDER_CONSUMER_*`); `envs` is added.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be started.
    pub fn start(
        name: &str,
        path: &Path,
        args: &[&str],
        envs: &[(&str, &str)],
        dir: &Path,
    ) -> Result<Self, Error> {
        let mut command = Command::new(path);
        command.args(args);
        for (variable, _) in std::env::vars_os().filter(|(variable, _)| is_ours(variable)) {
            command.env_remove(variable);
        }
        command.envs(envs.iter().copied());
        Self::spawn(name, command, None, dir)
    }

    /// As [`Program::start`], from a prepared command and as another user.
    pub(super) fn spawn(
        name: &str,
        mut command: Command,
        user: Option<&User>,
        dir: &Path,
    ) -> Result<Self, Error> {
        let log = dir.join(format!("{name}.log"));
        let output = OpenOptions::new().create(true).append(true).open(&log);
        let output = output.map_err(Error::io("opening the log", &log))?;
        let errors = output.try_clone().map_err(Error::io("opening the log", &log))?;
        command
            .current_dir(dir)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        if let Some(user) = user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        let child =
            command.spawn().map_err(Error::io("starting", Path::new(command.get_program())))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// What it was called at the start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, or `None` while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal; a process that has ended already gets none.
    pub fn signal(&mut self, signal: Signal) {
        if self.exit_status().is_none()
            && let Ok(pid) = i32::try_from(self.child.id())
        {
            // Not reaped yet, so the id is still this child's. An error can only say that it is
            // just ending.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Asks it to stop: SIGTERM.
    pub fn terminate(&mut self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends it at once (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        // Fails only when it was reaped before.
        let _ = self.child.wait();
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// [`Error::Failed`] with the end of its log when it still runs after `limit`.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus, Error> {
        let waited = eventually(limit, "its end", async || self.exit_status()).await;
        waited.map_err(|_late| self.failure(&format!("{} still runs after {limit:?}", self.name)))
    }

    /// Everything it has written to stdout and stderr.
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    /// An [`Error::Failed`] about this process.
    pub fn failure(&self, what: &str) -> Error {
        Error::Failed { what: what.to_owned(), log: self.log_tail() }
    }

    /// Polls `condition` as [`eventually`] does, but gives up as soon as the process has ended.
    pub async fn until_ready(
        &mut self,
        limit: Duration,
        mut condition: impl AsyncFnMut() -> bool,
    ) -> Result<(), Error> {
        let child = &mut self.child;
        let waited = eventually(limit, "it to be ready", async || match child.try_wait() {
            Ok(Some(status)) => Some(Some(status)),
            Ok(None) | Err(_) => condition().await.then_some(None),
        });
        match waited.await {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                Err(self.failure(&format!("{} ended at its start: {status}", self.name)))
            }
            Err(_late) => {
                Err(self.failure(&format!("{} was not ready after {limit:?}", self.name)))
            }
        }
    }

    /// Blocks until it has ended, at most `limit`: for `Drop`, which cannot await.
    pub(super) fn wait_blocking(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.exit_status().is_none() && Instant::now() < deadline {
            std::thread::sleep(DROP_POLL_INTERVAL);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_ours(variable: &OsStr) -> bool {
    OWN_VARIABLES.iter().any(|prefix| variable.as_encoded_bytes().starts_with(prefix))
}
