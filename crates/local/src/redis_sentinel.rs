//! A private Redis with replicas and sentinels.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use secrecy::SecretString;

use super::program::Program;
use super::redis::answers;
use super::{Error, Redis, eventually, find, free_port};
use outflow_connect::redis::{self, Args, Failure, Reply};

/// Covers an election on a loaded machine.
const AGREE_LIMIT: Duration = Duration::from_mins(1);
/// How long a server may be silent before a sentinel takes it for dead: longer than a busy
/// machine's disk stalls.
const DOWN_AFTER_MS: &str = "3000";
const FAILOVER_TIMEOUT_MS: &str = "5000";
const SENTINELS: usize = 3;
const QUORUM: usize = 2;
/// What the sentinels call their master.
const SERVICE: &str = "orders";

/// Redis servers that only this machine can reach, without a password: a master with replicas, and
/// three sentinels that replace it when it is gone.
#[derive(Debug)]
pub struct RedisSentinel {
    servers: Vec<Redis>,
    sentinels: Vec<Watcher>,
}

#[derive(Debug)]
struct Watcher {
    program: Program,
    port: u16,
    client: redis::Redis,
}

impl RedisSentinel {
    /// Starts a master, `replicas` replicas and three sentinels below `dir`, and waits until all
    /// know each other. `extra_args` are for every server.
    ///
    /// # Errors
    /// As [`Redis::start`]; [`Error::Failed`] when they do not find each other within a minute.
    pub async fn start(dir: &Path, replicas: usize, extra_args: &[&str]) -> Result<Self, Error> {
        let mut servers: Vec<Redis> = Vec::with_capacity(1 + replicas);
        for number in 0..=replicas {
            let dir = dir.join(format!("server-{number}"));
            std::fs::create_dir_all(&dir).map_err(Error::io("creating", &dir))?;
            let of = servers.first().map(|master| format!("127.0.0.1 {}", master.port()));
            // A replica is in step at once instead of after the five seconds that a master waits
            // for more of them.
            let mut args = vec!["--repl-diskless-sync-delay", "0"];
            args.extend(of.iter().flat_map(|of| ["--replicaof", of]));
            servers.push(Redis::start(&dir, &[&args, extra_args].concat()).await?);
        }
        let mut sentinels = Vec::with_capacity(SENTINELS);
        for number in 0..SENTINELS {
            sentinels.push(
                Watcher::start(&dir.join(format!("sentinel-{number}")), servers[0].port()).await?,
            );
        }
        let started = Self { servers, sentinels };
        let expected = [("num-slaves", replicas), ("num-other-sentinels", SENTINELS - 1)];
        for sentinel in &started.sentinels {
            let agreed = eventually(AGREE_LIMIT, "the sentinels to find each other", async || {
                for (field, count) in expected {
                    (sentinel.field(field).await? == count.to_string()).then_some(())?;
                }
                Some(())
            });
            agreed.await.map_err(|late| sentinel.program.failure(&late.to_string()))?;
        }
        Ok(started)
    }

    /// `redis-sentinel://127.0.0.1:PORT?service_name=orders&node=127.0.0.1:PORT…` with all
    /// sentinels.
    pub fn url(&self) -> String {
        let places: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!(
            "redis-sentinel://{}?service_name={SERVICE}&node={}",
            places[0],
            places[1..].join("&node=")
        )
    }

    /// One server; the first is the master to begin with.
    pub fn server(&mut self, number: usize) -> &mut Redis {
        &mut self.servers[number]
    }

    /// One sentinel's process.
    pub fn sentinel(&mut self, number: usize) -> &mut Program {
        &mut self.sentinels[number].program
    }

    /// Waits until this sentinel names this server as the master.
    ///
    /// # Errors
    /// [`Error::Failed`] after a minute.
    pub async fn agreed(&self, sentinel: usize, server: usize) -> Result<(), Error> {
        let (sentinel, port) = (&self.sentinels[sentinel], self.servers[server].port().to_string());
        let named = eventually(AGREE_LIMIT, "another master", async || {
            (sentinel.field("port").await? == port).then_some(())
        });
        named.await.map_err(|late| sentinel.program.failure(&late.to_string()))
    }

    /// Lets one server follow another, as the sentinels do a while after it has come back, and
    /// waits until it is in step.
    ///
    /// # Errors
    /// [`Error::Failed`] after a minute.
    pub async fn follows(&self, replica: usize, master: usize) -> Result<(), Error> {
        let port = self.servers[master].port().to_string();
        let failed = |what: String| Error::Failed { what, log: self.servers[replica].log() };
        let url = SecretString::from(self.servers[replica].url());
        let client = redis::Redis::open(&url, "local sentinel")
            .map_err(|error| failed(error.to_string()))?;
        let following = eventually(AGREE_LIMIT, "a replica to be in step", async || {
            let role = client.call("ROLE", Args::default()).await.ok()?;
            if role.items().get(2).and_then(Reply::int).map(|port| port.to_string()).as_deref()
                != Some(&port)
            {
                client.call("REPLICAOF", Args::from(["127.0.0.1", &port])).await.ok()?;
            }
            (role.items().get(3)?.string()? == "connected").then_some(())
        });
        let outcome = following.await.map_err(|late| failed(late.to_string()));
        client.close().await;
        outcome
    }

    /// One command, sent to one sentinel.
    ///
    /// # Errors
    /// What it answered.
    pub async fn ask(&self, sentinel: usize, args: &[&str]) -> Result<Reply, Error> {
        let sentinel = &self.sentinels[sentinel];
        sentinel.ask(args).await.map_err(|failure| sentinel.program.failure(&failure.to_string()))
    }
}

impl Watcher {
    async fn start(dir: &Path, master: u16) -> Result<Self, Error> {
        let port = free_port()?;
        let config = dir.join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor {SERVICE} 127.0.0.1 {master} {QUORUM}\n\
             sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n\
             sentinel failover-timeout {SERVICE} {FAILOVER_TIMEOUT_MS}\n"
        );
        std::fs::create_dir_all(dir).map_err(Error::io("creating", dir))?;
        std::fs::write(&config, text).map_err(Error::io("writing", &config))?;
        let mut command = Command::new(find("redis-server")?);
        command.arg(&config).arg("--sentinel");
        let mut program = Program::spawn("sentinel", command, None, dir)?;
        program.until_ready(AGREE_LIMIT, async || answers(port).await.unwrap_or(false)).await?;
        let url = SecretString::from(format!("redis://127.0.0.1:{port}"));
        let client = redis::Redis::open(&url, "local sentinel")
            .map_err(|error| program.failure(&error.to_string()))?;
        client.ready(AGREE_LIMIT).await.map_err(|failure| program.failure(&failure.to_string()))?;
        Ok(Self { program, port, client })
    }

    async fn ask(&self, args: &[&str]) -> Result<Reply, Failure> {
        let all: Args = args.iter().copied().collect();
        self.client.call("SENTINEL", all).await
    }

    /// What it knows of the master.
    async fn field(&self, name: &str) -> Option<String> {
        let reply = self.ask(&["MASTER", SERVICE]).await.ok()?;
        let words: Vec<String> = reply.items().iter().filter_map(Reply::string).collect();
        words.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1].clone())
    }
}
