//! The private servers, the relay over them, and what is asked of both between the measurements.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outflow_connect::redis::{Args, Reply};
use outflow_local::{
    Outflow, Postgres, PostgresOptions, Program, Redis, Servers, eventually, free_port, number,
    redis_client, session,
};
use tempfile::TempDir;
use tokio_postgres::Client;

use super::{Outcome, cpu};

/// Longer than anything that works.
pub(crate) const LIMIT: Duration = Duration::from_mins(5);
/// The default of every Postgres is meant for the smallest machine. A checkpoint in the middle of
/// one run and not of another would be noise: one is made before each fill instead.
const POSTGRES: [(&str, &str); 3] =
    [("shared_buffers", "1GB"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "1h")];
/// As Redis is when nobody has configured it, less its snapshots; the group `durable` shows what
/// its log costs, whose rewriting would fork in the middle of a run.
const REDIS: [&str; 4] = ["--appendonly", "no", "--auto-aof-rewrite-percentage", "0"];

/// Servers with a migrated outbox.
pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) redis_pid: u32,
    pub(crate) postgres_pid: u32,
    commands: outflow_connect::redis::Redis,
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
    pub(crate) outflow: Outflow,
    dir: TempDir,
}

/// A running `outflow run`.
pub(crate) struct Relay {
    pub(crate) program: Program,
    admin: String,
}

/// What the streams hold, and when it came there by Redis's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    pub(crate) entries: u64,
    /// Milliseconds since 1970 when the first and the last batch were appended.
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
}

impl Stage {
    pub(crate) async fn new() -> Outcome<Self> {
        let settings = POSTGRES.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let options = PostgresOptions { settings, ..PostgresOptions::default() };
        let servers = Servers::start_with("outflow-bench-", options, &REDIS).await?;
        let Servers { postgres, redis, dir } = servers;
        let client = session(&postgres.url()).await?;
        let commands = redis_client(&redis.url(), "bench");
        commands.ready(LIMIT).await?;
        let pid = fs::read_to_string(dir.path().join("postgres/postmaster.pid"))?;
        let postgres_pid = pid.lines().next().unwrap_or_default().parse()?;
        let redis_pid = redis_pid(&commands).await?;
        // Every default but the addresses.
        let outflow = Outflow::new(binary(), dir.path());
        let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n";
        outflow.configure(&postgres.url(), &redis.url(), admin)?;
        let stage =
            Self { client, redis_pid, postgres_pid, commands, postgres, redis, outflow, dir };
        stage.to_end("migrate", &["migrate"]).await?;
        Ok(stage)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Starts `outflow run` and waits until it is ready.
    pub(crate) async fn relay(&self) -> Outcome<Relay> {
        self.relay_of(&self.outflow).await
    }

    /// Starts `outflow run` of this configuration and waits until it is ready.
    pub(crate) async fn relay_of(&self, outflow: &Outflow) -> Outcome<Relay> {
        let relay = start(outflow)?;
        let url = format!("http://{}/readyz", relay.admin);
        let ready = eventually(LIMIT, "the relay to be ready", async || {
            reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success())
        });
        ready.await?;
        Ok(relay)
    }

    /// Starts `outflow run` and does not wait.
    pub(crate) fn relay_at_once(&self) -> Outcome<Relay> {
        start(&self.outflow)
    }

    /// The same, with more lines in its configuration.
    pub(crate) fn relay_with(&self, more: &str) -> Outcome<Relay> {
        let dir = self.path().join("with_more");
        fs::create_dir_all(&dir)?;
        let outflow = Outflow::new(binary(), &dir);
        outflow.configure(&self.postgres.url(), &self.redis.url(), more)?;
        start(&outflow)
    }

    /// Runs `outflow` to its end, which must be a good one.
    pub(crate) async fn to_end(&self, name: &str, args: &[&str]) -> Outcome {
        Ok(self.outflow.succeed(name, args, LIMIT).await?)
    }

    pub(crate) async fn sql(&self, statements: &str) -> Outcome {
        Ok(self.client.batch_execute(statements).await?)
    }

    /// The first column of the first row, as a number.
    pub(crate) async fn number(&self, query: &str) -> Outcome<i64> {
        Ok(number(&self.client, query).await?)
    }

    /// How many rows wait in the outbox.
    pub(crate) async fn waiting(&self) -> Outcome<i64> {
        self.number("select count(*) from public.outbox").await
    }

    /// An idle transaction that sees the table as it is now and thereby keeps every row that is
    /// deleted from now on. It ends when it is dropped.
    pub(crate) async fn idle_transaction(&self) -> Outcome<Client> {
        let client = session(&self.postgres.url()).await?;
        client.batch_execute("begin isolation level repeatable read; select 1").await?;
        let held = "select count(*) from pg_stat_activity where state = 'idle in transaction' and \
            backend_xmin is not null";
        if self.number(held).await? != 1 {
            return Err("the idle transaction holds no snapshot".into());
        }
        Ok(client)
    }

    /// What is in all streams.
    pub(crate) async fn span(&self) -> Outcome<Span> {
        let mut span = Span { first_ms: u64::MAX, ..Span::default() };
        for stream in self.streams().await? {
            span.entries += self.length(&stream).await?;
            span.first_ms = span
                .first_ms
                .min(self.entry_ms("XRANGE", &[&stream, "-", "+", "COUNT", "1"]).await?);
            span.last_ms = span
                .last_ms
                .max(self.entry_ms("XREVRANGE", &[&stream, "+", "-", "COUNT", "1"]).await?);
        }
        Ok(span)
    }

    pub(crate) async fn length(&self, stream: &str) -> Outcome<u64> {
        let length = self.command("XLEN", &[stream]).await?.int().ok_or("XLEN without a number")?;
        Ok(u64::try_from(length)?)
    }

    /// How many entries were added to a stream, also those that are gone.
    pub(crate) async fn added(&self, stream: &str) -> Outcome<u64> {
        let info = self.command("XINFO", &["STREAM", stream]).await?;
        let mut fields = info.items().chunks_exact(2);
        let added = fields.find(|pair| pair[0].string().as_deref() == Some("entries-added"));
        let added = added.and_then(|pair| pair[1].int()).ok_or("XINFO without entries-added")?;
        Ok(u64::try_from(added)?)
    }

    /// Waits until the stream has so many entries.
    pub(crate) async fn reaches(&self, stream: &str, entries: u64) -> Outcome {
        let reached = async || self.length(stream).await.is_ok_and(|length| length >= entries);
        Ok(eventually(LIMIT, &format!("{stream} to have {entries} entries"), reached).await?)
    }

    /// Removes all streams; the journals stay.
    pub(crate) async fn clear_streams(&self) -> Outcome {
        for stream in self.streams().await? {
            self.command("UNLINK", &[&stream]).await?;
        }
        Ok(())
    }

    /// Switches Redis's append-only log.
    pub(crate) async fn redis_log(&self, appendonly: &str, appendfsync: &str) -> Outcome {
        self.clear_streams().await?;
        self.command("CONFIG", &["SET", "appendfsync", appendfsync, "appendonly", appendonly])
            .await?;
        let ready = eventually(LIMIT, "Redis to have written its log anew", async || {
            let info = self.command("INFO", &["persistence"]).await.ok()?;
            let text = String::from_utf8_lossy(info.text()?).into_owned();
            let enabled = if appendonly == "yes" { "aof_enabled:1" } else { "aof_enabled:0" };
            let settled = [enabled, "aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"];
            settled.iter().all(|said| text.contains(said)).then_some(())
        });
        Ok(ready.await?)
    }

    /// CPU seconds of Postgres, all its processes, and of Redis.
    pub(crate) fn server_cpu(&self) -> Outcome<(f64, f64)> {
        Ok((cpu::of_family(self.postgres_pid)?, cpu::of_process(self.redis_pid)?))
    }

    async fn streams(&self) -> Outcome<Vec<String>> {
        let reply = self.command("KEYS", &["events.*"]).await?;
        let names = reply.items().iter().filter_map(Reply::text);
        Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    /// The time in the id of the one entry that a range command answers.
    async fn entry_ms(&self, command: &'static str, args: &[&str]) -> Outcome<u64> {
        let reply = self.command(command, args).await?;
        let id = reply.items().first().and_then(|entry| entry.items().first()?.text().cloned());
        let id = String::from_utf8(id.ok_or("an empty stream")?.to_vec())?;
        Ok(id.split('-').next().unwrap_or_default().parse()?)
    }

    pub(crate) async fn command(&self, command: &'static str, words: &[&str]) -> Outcome<Reply> {
        let mut args = Args::with_capacity(words.len());
        for word in words {
            args.text(*word);
        }
        Ok(self.commands.call(command, args).await?)
    }
}

impl Relay {
    /// Stops it in order.
    pub(crate) async fn stop(mut self) -> Outcome {
        self.program.terminate();
        let status = self.program.wait(LIMIT).await?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the relay: {status}\n{}", self.program.log_tail()).into())
        }
    }

    /// Waits until it sleeps, by its own metric.
    pub(crate) async fn asleep(&self) -> Outcome {
        let url = format!("http://{}/metrics", self.admin);
        let asleep = eventually(LIMIT, "the relay to sleep", async || {
            let text = reqwest::get(&url).await.ok()?.text().await.ok()?;
            text.lines()
                .any(|line| line.starts_with("outflow_asleep{") && line.ends_with(" 1"))
                .then_some(())
        });
        Ok(asleep.await?)
    }
}

fn start(outflow: &Outflow) -> Outcome<Relay> {
    let admin = format!("127.0.0.1:{}", free_port()?);
    let program = outflow.start("relay", &["run"], &[("OUTFLOW_ADMIN__LISTEN", &admin)])?;
    Ok(Relay { program, admin })
}

async fn redis_pid(commands: &outflow_connect::redis::Redis) -> Outcome<u32> {
    let reply = commands.call("INFO", Args::from(["server"])).await?;
    let text = String::from_utf8_lossy(reply.text().ok_or("INFO without a text")?).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("process_id:"))
        .ok_or("INFO without process_id")?;
    Ok(line.trim().parse()?)
}

/// What is measured: the binary as it is shipped, if `make` has built it.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("BENCH_BINARY")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_outflow")), PathBuf::from)
}
