//! A private Postgres server.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::User;
use tokio_postgres::NoTls;

use super::files::copy_over;
use super::program::Program;
use super::user::{give, open_the_way, unprivileged};
use super::{Error, cluster, find, free_port};

/// Covers crash recovery on a loaded machine.
const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const BACKUP_LIMIT: Duration = Duration::from_mins(1);
/// How long a dropped server may take before it is killed.
const DROP_LIMIT: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Another process may take a port between choosing and using it.
const PORT_ATTEMPTS: usize = 3;

/// A running Postgres that only this machine can reach. Superuser `postgres`, no password.
#[derive(Debug)]
pub struct Postgres {
    dir: PathBuf,
    port: u16,
    options: PostgresOptions,
    user: Option<User>,
    server: Program,
}

/// What may differ from one private server to another.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Whether commits wait for the disk. On by default: without it, timings say nothing about real
    /// servers.
    pub fsync: bool,
    /// More settings, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { fsync: true, settings: Vec::new() }
    }
}

impl Postgres {
    /// Starts a new server with its data in `dir/postgres` and its log in `dir/postgres.log`, and
    /// waits until it takes connections. One server a directory. Run by root, it becomes the user
    /// `postgres` or `nobody`, and `dir` is opened to be searched by others.
    ///
    /// # Errors
    /// [`Error::Missing`] when Postgres is not installed; [`Error::Failed`] with its log when it
    /// does not start.
    pub async fn start(dir: &Path) -> Result<Self, Error> {
        Self::start_with(dir, PostgresOptions::default()).await
    }

    /// As [`Postgres::start`], with other options.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn start_with(dir: &Path, options: PostgresOptions) -> Result<Self, Error> {
        let dir = std::path::absolute(dir).map_err(Error::io("resolving", dir))?;
        let user = unprivileged()?;
        open_the_way(&dir, user.as_ref())?;
        cluster::create(&data(&dir), &dir, user.as_ref()).await?;
        let mut attempt = 1;
        loop {
            let port = free_port()?;
            match launch(&dir, port, &options, user.as_ref()).await {
                Ok(server) => return Ok(Self { dir, port, options, user, server }),
                Err(Error::Failed { log, .. })
                    if attempt < PORT_ATTEMPTS && log.contains("could not bind") => {}
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }

    /// `postgres://postgres@127.0.0.1:PORT/postgres`
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Its TCP port, the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Stops without saving anything (SIGQUIT), as in a crash: the next start recovers from the
    /// log.
    ///
    /// # Errors
    /// When it still runs after 30 s.
    pub async fn stop_immediate(&mut self) -> Result<(), Error> {
        self.stop(Signal::SIGQUIT).await
    }

    /// Ends all sessions and stops in order (SIGINT).
    ///
    /// # Errors
    /// When it still runs after 30 s.
    pub async fn stop_fast(&mut self) -> Result<(), Error> {
        self.stop(Signal::SIGINT).await
    }

    /// Starts a stopped server again, with the same data on the same port.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn start_again(&mut self) -> Result<(), Error> {
        self.server = launch(&self.dir, self.port, &self.options, self.user.as_ref()).await?;
        Ok(())
    }

    /// Copies the files of a stopped server to the directory `to`, in place of what is there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn copy_files(&self, to: &Path) -> Result<(), Error> {
        copy_over(&data(&self.dir), to, self.user.as_ref())
    }

    /// Gives a stopped server the files of [`Postgres::copy_files`] in place of its own: it starts
    /// in an older state.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn put_back(&self, from: &Path) -> Result<(), Error> {
        copy_over(from, &data(&self.dir), self.user.as_ref())
    }

    /// Makes a base backup of the running server in the directory `to` (`pg_basebackup`), in place
    /// of what is there. From here on the server keeps its log for [`Postgres::recover_to`], up to
    /// 1 GB.
    ///
    /// # Errors
    /// [`Error::Failed`] with what the server or `pg_basebackup` says.
    pub async fn base_backup(&self, to: &Path) -> Result<(), Error> {
        for statement in ["alter system set wal_keep_size = '1GB'", "select pg_reload_conf()"] {
            if !does(self.port, statement).await {
                let what = format!("postgres refused: {statement}");
                return Err(Error::Failed { what, log: self.log() });
            }
        }
        if to.exists() {
            fs::remove_dir_all(to).map_err(Error::io("removing", to))?;
        }
        // As a server wants its data directory.
        fs::DirBuilder::new().mode(0o700).create(to).map_err(Error::io("creating", to))?;
        give(to, self.user.as_ref())?;
        let mut command = Command::new(find("pg_basebackup")?);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres", "-D"]);
        command.arg(to).args(["--checkpoint=fast", "--wal-method=stream", "--no-sync"]);
        let mut backup = Program::spawn("pg_basebackup", command, self.user.as_ref(), &self.dir)?;
        let status = backup.wait(BACKUP_LIMIT).await?;
        if status.success() { Ok(()) } else { Err(backup.failure(&format!("{status}"))) }
    }

    /// Starts a stopped server in the state of a restore point (`pg_create_restore_point`), on a
    /// new timeline: from the base backup `from`, and the log of the server itself.
    ///
    /// # Errors
    /// As [`Postgres::start`], and [`Error::Io`].
    pub async fn recover_to(&mut self, from: &Path, restore_point: &str) -> Result<(), Error> {
        let (data, log) = (data(&self.dir), self.dir.join("postgres-wal"));
        if log.exists() {
            fs::remove_dir_all(&log).map_err(Error::io("removing", &log))?;
        }
        fs::rename(data.join("pg_wal"), &log).map_err(Error::io("moving the log to", &log))?;
        self.put_back(from)?;
        let config = data.join("postgresql.auto.conf");
        let before = fs::read_to_string(&config).map_err(Error::io("reading", &config))?;
        // Nobody is let in before it has become a primary.
        let settings = format!(
            "{before}hot_standby = off\nrestore_command = 'cp \"{}/%f\" \"%p\"'\n\
             recovery_target_name = '{restore_point}'\nrecovery_target_action = promote\n",
            log.display()
        );
        fs::write(&config, settings).map_err(Error::io("writing", &config))?;
        let signal = data.join("recovery.signal");
        fs::write(&signal, "").map_err(Error::io("writing", &signal))?;
        give(&signal, self.user.as_ref())?;
        self.start_again().await
    }

    /// Starts a standby of the running server, with its files in the directory `dir`, which must
    /// not exist yet, and waits until it answers. It takes no writes before [`Postgres::promote`].
    ///
    /// # Errors
    /// As [`Postgres::start`] and [`Postgres::base_backup`].
    pub async fn standby(&self, dir: &Path) -> Result<Self, Error> {
        fs::create_dir(dir).map_err(Error::io("creating", dir))?;
        open_the_way(dir, self.user.as_ref())?;
        let (dir, to, port) = (dir.to_owned(), data(dir), free_port()?);
        self.base_backup(&to).await?;
        let config = to.join("postgresql.auto.conf");
        let before = fs::read_to_string(&config).map_err(Error::io("reading", &config))?;
        let from = format!("host=127.0.0.1 port={} user=postgres", self.port);
        fs::write(&config, format!("{before}primary_conninfo = '{from}'\n"))
            .map_err(Error::io("writing", &config))?;
        let signal = to.join("standby.signal");
        fs::write(&signal, "").map_err(Error::io("writing", &signal))?;
        give(&signal, self.user.as_ref())?;
        let (options, user) = (self.options.clone(), self.user.clone());
        let server = launch(&dir, port, &options, user.as_ref()).await?;
        Ok(Self { dir, port, options, user, server })
    }

    /// Makes a standby a primary, on a new timeline.
    ///
    /// # Errors
    /// [`Error::Failed`] with its log if it refuses.
    pub async fn promote(&self) -> Result<(), Error> {
        if does(self.port, "select pg_promote()").await {
            return Ok(());
        }
        Err(Error::Failed { what: "postgres was not promoted".to_owned(), log: self.log() })
    }

    async fn stop(&mut self, signal: Signal) -> Result<(), Error> {
        self.server.signal(signal);
        self.server.wait(STOP_LIMIT).await.map(drop)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT first, so that its own children end with it and none outlives the directory.
        self.server.signal(Signal::SIGQUIT);
        self.server.signal(Signal::SIGCONT);
        self.server.wait_blocking(DROP_LIMIT);
    }
}

fn data(dir: &Path) -> PathBuf {
    dir.join("postgres")
}

async fn launch(
    dir: &Path,
    port: u16,
    options: &PostgresOptions,
    user: Option<&User>,
) -> Result<Program, Error> {
    let mut command = Command::new(find("postgres")?);
    command.arg("-D").arg(data(dir)).args(["-p", &port.to_string()]);
    // No socket file: its path would be too long in a deep temporary directory, and TCP is what
    // everybody uses.
    let fixed = [
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("max_connections", "200"),
    ];
    let fsync = ("fsync", if options.fsync { "on" } else { "off" });
    let extra = options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in fixed.into_iter().chain([fsync]).chain(extra) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    let mut server = Program::spawn("postgres", command, user, dir)?;
    server.until_ready(START_LIMIT, async || does(port, "select 1").await).await?;
    Ok(server)
}

/// Whether the server carries a statement out, and says not only "the database system is starting
/// up".
async fn does(port: u16, statement: &str) -> bool {
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(port)
        .user("postgres")
        .dbname("postgres")
        .connect_timeout(CONNECT_LIMIT);
    let Ok((client, connection)) = config.connect(NoTls).await else { return false };
    let asking = async {
        let answered = client.simple_query(statement).await.is_ok();
        // Ends the connection, and with it the other future.
        drop(client);
        answered
    };
    let (answered, _closed) = tokio::join!(asking, connection);
    answered
}
