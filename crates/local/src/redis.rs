//! A private Redis server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use outflow_connect::redis;
use secrecy::SecretString;

use super::files::copy_over;
use super::program::Program;
use super::{Error, find, free_port};

/// Covers loading a large append-only file on a loaded machine.
const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Another process may take a port between choosing and using it.
const PORT_ATTEMPTS: usize = 3;

/// A running Redis that only this machine can reach, without a password.
#[derive(Debug)]
pub struct Redis {
    dir: PathBuf,
    port: u16,
    extra_args: Vec<String>,
    server: Program,
}

impl Redis {
    /// Starts a new server with its data in `dir/redis` and its log in `dir/redis.log`, and waits
    /// until it answers. One server a directory. What it has acknowledged survives SIGKILL
    /// (`appendonly yes`, `appendfsync always`). `extra_args` come last and win, such as
    /// `["--appendonly", "no"]`.
    ///
    /// # Errors
    /// [`Error::Missing`] when Redis is not installed; [`Error::Failed`] with its log when it does
    /// not start.
    pub async fn start(dir: &Path, extra_args: &[&str]) -> Result<Self, Error> {
        let dir = std::path::absolute(dir).map_err(Error::io("resolving", dir))?;
        let extra_args: Vec<String> = extra_args.iter().map(|&arg| arg.to_owned()).collect();
        std::fs::create_dir(data(&dir)).map_err(Error::io("creating", &data(&dir)))?;
        let mut attempt = 1;
        loop {
            let port = free_port()?;
            match launch(&dir, port, &extra_args).await {
                Ok(server) => return Ok(Self { dir, port, extra_args, server }),
                Err(Error::Failed { log, .. })
                    if attempt < PORT_ATTEMPTS && log.contains("in use") => {}
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }

    /// `redis://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its TCP port, the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Sends a signal to the server: SIGSTOP and SIGCONT freeze and thaw it.
    pub fn signal(&mut self, signal: Signal) {
        self.server.signal(signal);
    }

    /// Ends it at once (SIGKILL), as in a crash, and waits until it is gone.
    ///
    /// # Errors
    /// When it still runs after 30 s.
    pub async fn kill(&mut self) -> Result<(), Error> {
        self.server.signal(Signal::SIGKILL);
        self.server.wait(STOP_LIMIT).await.map(drop)
    }

    /// Stops it cleanly (SIGTERM) and waits until it is gone.
    ///
    /// # Errors
    /// When it still runs after 30 s.
    pub async fn stop(&mut self) -> Result<(), Error> {
        self.server.terminate();
        self.server.wait(STOP_LIMIT).await.map(drop)
    }

    /// Starts a stopped server again, with the same data on the same port.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn start_again(&mut self) -> Result<(), Error> {
        self.server = launch(&self.dir, self.port, &self.extra_args).await?;
        Ok(())
    }

    /// Writes everything to its RDB file, now (SAVE).
    ///
    /// # Errors
    /// [`Error::Failed`] with what it answered.
    pub async fn save(&self) -> Result<(), Error> {
        let failed = |why: String| self.server.failure(&format!("SAVE: {why}"));
        let url = SecretString::from(self.url());
        let client =
            redis::Redis::open(&url, "local save").map_err(|error| failed(error.to_string()))?;
        let saved = match client.ready(START_LIMIT).await {
            Ok(()) => client.call("SAVE", redis::Args::default()).await,
            Err(failure) => Err(failure),
        };
        client.close().await;
        saved.map(drop).map_err(|failure| failed(failure.to_string()))
    }

    /// Copies its files as they are to the directory `to`, in place of what is there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn copy_files(&self, to: &Path) -> Result<(), Error> {
        copy_over(&data(&self.dir), to, None)
    }

    /// Gives a stopped server the files of [`Redis::copy_files`] in place of its own: it starts in
    /// an older state.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn put_back(&self, from: &Path) -> Result<(), Error> {
        copy_over(from, &data(&self.dir), None)
    }

    /// The RDB file that [`Redis::save`] writes.
    pub fn rdb(&self) -> PathBuf {
        data(&self.dir).join("dump.rdb")
    }

    /// Gives a stopped server an RDB file in place of its own files, also as the beginning of its
    /// append-only file: a server that has one reads nothing else.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn put_back_rdb(&self, from: &Path) -> Result<(), Error> {
        let data = data(&self.dir);
        std::fs::remove_dir_all(&data).map_err(Error::io("removing", &data))?;
        std::fs::create_dir(&data).map_err(Error::io("creating", &data))?;
        for name in ["dump.rdb", "appendonly.aof"] {
            let target = data.join(name);
            std::fs::copy(from, &target).map_err(Error::io("copying to", &target))?;
        }
        Ok(())
    }
}

fn data(dir: &Path) -> PathBuf {
    dir.join("redis")
}

async fn launch(dir: &Path, port: u16, extra_args: &[String]) -> Result<Program, Error> {
    let mut command = Command::new(find("redis-server")?);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(data(dir));
    command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "always"]).args(extra_args);
    let mut server = Program::spawn("redis", command, None, dir)?;
    server.until_ready(START_LIMIT, async || answers(port).await.unwrap_or(false)).await?;
    Ok(server)
}

/// Whether the server answers a PING with anything but LOADING. A refusal (a password was asked for
/// in `extra_args`) is an answer too.
pub(super) async fn answers(port: u16) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
    connection.write_all(b"PING\r\n").await?;
    let mut start = [0; 5];
    connection.read_exact(&mut start).await?;
    Ok(&start != b"-LOAD")
}
