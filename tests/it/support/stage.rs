//! Private servers with the relay over them.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use outflow_connect::redis::{Args, Reply};
use outflow_local::{
    Outflow, Postgres, PostgresOptions, Program, Redis, Servers, eventually, free_port, number,
    redis_client, session,
};
use tempfile::TempDir;
use tokio_postgres::Client;

/// Longer than any wait that is not a failure, also on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// Servers, a configuration, and a place for files.
pub(crate) struct Stage {
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
    pub(crate) admin_port: u16,
    outflow: Outflow,
    dir: TempDir,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Asked {
    /// Asserts that it exited 0; what it wrote to stdout.
    pub(crate) fn data(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// As [`Asked::data`], one JSON document a line.
    pub(crate) fn json(self) -> Vec<serde_json::Value> {
        self.data().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

/// One entry of a stream: its fields in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry(pub(crate) Vec<(String, String)>);

impl Entry {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value.as_str())
    }

    pub(crate) fn names(&self) -> String {
        self.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// The usual outbox section, with more lines.
pub(crate) fn outbox(more: &str) -> String {
    format!(
        "[[outbox]]\nname = \"orders\"\ntable = \"public.outbox\"\nstream = \
            \"events.{{aggregate_type}}\"\n{more}\n"
    )
}

impl Stage {
    /// Servers, and these outbox sections; nothing is migrated yet.
    pub(crate) async fn bare(outboxes: &str) -> Self {
        let settings = vec![("max_prepared_transactions".to_owned(), "5".to_owned())];
        let options = PostgresOptions { settings, ..PostgresOptions::default() };
        let servers = Servers::start_with("outflow-", options, &[]).await;
        let Servers { postgres, redis, dir } = servers.expect("servers");
        let admin_port = free_port().expect("a port");
        let outflow = Outflow::new(env!("CARGO_BIN_EXE_outflow"), dir.path());
        let stage = Self { postgres, redis, admin_port, outflow, dir };
        stage.configure(outboxes);
        stage
    }

    /// Servers and these outbox sections, migrated.
    pub(crate) async fn new(outboxes: &str) -> Self {
        let stage = Self::bare(outboxes).await;
        stage.migrate().await;
        stage
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, outboxes: &str) {
        self.configure_with(&self.redis.url(), outboxes);
    }

    /// The same, with another Redis.
    pub(crate) fn configure_with(&self, redis_url: &str, outboxes: &str) {
        let more = format!(
            "[admin]\nlisten = \"127.0.0.1:{}\"\n[log]\nlevel = \"debug\"\n{outboxes}",
            self.admin_port
        );
        self.outflow.configure(&self.postgres.url(), redis_url, &more).expect("a file");
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Starts `outflow` with these arguments.
    pub(crate) fn outflow(&self, name: &str, args: &[&str]) -> Program {
        self.outflow_with(name, args, &[])
    }

    pub(crate) fn outflow_with(&self, name: &str, args: &[&str], envs: &[(&str, &str)]) -> Program {
        self.outflow.start(name, args, envs).expect("outflow")
    }

    /// Starts the relay; it may not be ready yet.
    pub(crate) fn relay(&self) -> Program {
        self.outflow("relay", &["run"])
    }

    /// Starts one of several relays, which differ in the port of their probes only.
    pub(crate) fn member(&self, name: &str) -> Program {
        let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
        self.outflow_with(name, &["run"], &[("OUTFLOW_ADMIN__LISTEN", &listen)])
    }

    /// Waits until so many members share all slots.
    pub(crate) async fn shared_by(&self, members: i64) {
        let client = self.client().await;
        let query = "select count(distinct owner), count(*) filter (where owner in (select number \
            from outflow.member)) \
                     from outflow.outbox, unnest(slots) as owner";
        eventually(LIMIT, &format!("{members} members to share the slots"), async || {
            let row = client.query_one(query, &[]).await;
            row.is_ok_and(|row| row.get::<_, i64>(0) == members && row.get::<_, i64>(1) == 64)
        })
        .await
        .expect("a share-out");
    }

    /// Runs `outflow` to its end: exit code and output.
    pub(crate) async fn finished(&self, name: &str, args: &[&str]) -> (Option<i32>, String) {
        let mut program = self.outflow(name, args);
        let status = program.wait(LIMIT).await.expect("an end");
        (status.code(), program.log())
    }

    /// Runs a command of `outflow` to its end, with data and messages apart.
    pub(crate) async fn asked(&self, args: &[&str]) -> Asked {
        self.asked_with(args, &[]).await
    }

    pub(crate) async fn asked_with(&self, args: &[&str], envs: &[(&str, &str)]) -> Asked {
        let mut command = tokio::process::Command::new(self.outflow.binary());
        command
            .args(args)
            .arg("--config")
            .arg(self.outflow.config())
            .envs(envs.iter().copied())
            .kill_on_drop(true);
        command.env("OUTFLOW_LOG__LEVEL", "info").stdin(std::process::Stdio::null());
        let output =
            tokio::time::timeout(LIMIT, command.output()).await.expect("an end").expect("outflow");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("a text");
        Asked {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    pub(crate) async fn migrate(&self) {
        let (code, log) = self.finished("migrate", &["migrate", "--triggers"]).await;
        assert_eq!(code, Some(0), "{log}");
    }

    /// Drains what is there.
    pub(crate) async fn once(&self) {
        let (code, log) = self.finished("once", &["run", "--once"]).await;
        assert_eq!(code, Some(0), "{log}");
    }

    /// A connection of its own for each call: tests stop and start the server.
    pub(crate) async fn client(&self) -> Client {
        session(&self.postgres.url()).await.expect("a connection")
    }

    pub(crate) async fn sql(&self, statements: &str) {
        self.client().await.batch_execute(statements).await.expect(statements);
    }

    /// The first column of the first row, as a number.
    /// Makes a superuser `guarded` who needs this password.
    pub(crate) async fn guarded(&self, password: &str) {
        self.sql(&format!("create role guarded login superuser password '{password}'")).await;
        let access =
            "local all all trust\nhost all guarded all scram-sha-256\nhost all all all trust\n";
        let client = self.client().await;
        let file = client.query_one("select current_setting('hba_file')", &[]).await;
        let file: String = file.expect("a path").get(0);
        std::fs::write(file, access).expect("a file");
        self.sql("select pg_reload_conf()").await;
    }

    /// A standby that has each commit before the writer is told of it.
    pub(crate) async fn standby(&self) -> Postgres {
        let standby = self.postgres.standby(&self.path().join("standby")).await;
        let standby = standby.expect("a standby");
        self.sql("alter system set synchronous_standby_names = '*'").await;
        self.sql("select pg_reload_conf()").await;
        let followers = "select count(*) from pg_stat_replication where sync_state = 'sync'";
        eventually(LIMIT, "a synchronous standby", async || self.number(followers).await == 1)
            .await
            .expect("a standby that follows");
        standby
    }

    /// The major version of Postgres.
    pub(crate) async fn version(&self) -> i64 {
        self.number("select current_setting('server_version_num')::bigint / 10000").await
    }

    pub(crate) async fn number(&self, query: &str) -> i64 {
        number(&self.client().await, query).await.expect(query)
    }

    pub(crate) fn redis_client(&self) -> outflow_connect::redis::Redis {
        redis_client(&self.redis.url(), "test")
    }

    /// One command; waits for the server if it is starting.
    pub(crate) async fn command(&self, command: &'static str, args: &[&str]) -> Reply {
        let redis = self.redis_client();
        redis.ready(LIMIT).await.expect("a connection");
        let all: Args = args.iter().copied().collect();
        let reply = redis.call(command, all).await.expect(command);
        redis.close().await;
        reply
    }

    /// Runs a line as a person would: that a pattern is not needed (the user may use all keys) is
    /// no obstacle.
    pub(crate) async fn run_in_redis(&self, command: &'static str, args: &[&str]) {
        let redis = self.redis_client();
        redis.ready(LIMIT).await.expect("a connection");
        let all: Args = args.iter().copied().collect();
        if let Err(failure) = redis.call(command, all).await {
            assert!(
                failure.to_string().contains("after the * pattern"),
                "{command} {args:?}: {failure}"
            );
        }
        redis.close().await;
    }

    pub(crate) async fn length(&self, stream: &str) -> i64 {
        self.command("XLEN", &[stream]).await.int().expect("a length")
    }

    /// Waits until a stream has at least so many entries.
    pub(crate) async fn reaches(&self, stream: &str, length: i64) {
        let redis = self.redis_client();
        redis.ready(LIMIT).await.expect("a connection");
        let what = format!("{stream} to reach {length}");
        let reached = eventually(LIMIT, &what, async || {
            let args: Args = [stream].into();
            redis
                .call("XLEN", args)
                .await
                .ok()
                .and_then(|reply| reply.int())
                .is_some_and(|now| now >= length)
        });
        reached.await.expect("progress");
        redis.close().await;
    }

    /// Every entry of a stream.
    pub(crate) async fn entries(&self, stream: &str) -> Vec<Entry> {
        let reply = self.command("XRANGE", &[stream, "-", "+"]).await;
        reply.items().iter().map(entry).collect()
    }

    /// Waits until the default table is empty.
    pub(crate) async fn drained(&self) {
        self.emptied("public.outbox").await;
    }

    pub(crate) async fn emptied(&self, table: &str) {
        let client = self.client().await;
        let query = format!("select count(*) from {table}");
        let what = format!("{table} to be empty");
        eventually(LIMIT, &what, async || {
            client.query_one(&query, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) == 0)
        })
        .await
        .expect("an empty table");
    }

    /// The relay's own metrics.
    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.admin_port);
        reqwest::get(url).await.expect("an answer").text().await.expect("a text")
    }

    /// How often streams have refused their events.
    pub(crate) async fn refusals(&self) -> f64 {
        let metrics = self.metrics().await;
        let name = "outflow_append_failures_total{outbox=\"orders\",reason=\"refused\"} ";
        let count = metrics.lines().find_map(|line| line.strip_prefix(name));
        count.expect("refusals").parse().expect("a number")
    }

    /// Waits until `/readyz` answers 503 with a cause that has these words.
    pub(crate) async fn not_ready(&self, words: &str) {
        let url = format!("http://127.0.0.1:{}/readyz", self.admin_port);
        let what = format!("/readyz to say {words:?}");
        eventually(LIMIT, &what, async || {
            let answer =
                reqwest::get(&url).await.ok().filter(|answer| answer.status().as_u16() == 503)?;
            answer.text().await.ok().filter(|body| body.contains(words))
        })
        .await
        .expect("the cause");
    }

    /// Waits until `/readyz` answers like this; returns the body.
    pub(crate) async fn ready(&self, status: u16) -> String {
        let url = format!("http://127.0.0.1:{}/readyz", self.admin_port);
        let what = format!("/readyz to answer {status}");
        eventually(LIMIT, &what, async || {
            let answer = reqwest::get(&url)
                .await
                .ok()
                .filter(|answer| answer.status().as_u16() == status)?;
            answer.text().await.ok()
        })
        .await
        .expect("readiness")
    }
}

/// One entry of XRANGE.
pub(crate) fn entry(item: &Reply) -> Entry {
    let [_id, fields] = item.items() else { panic!("no entry: {item:?}") };
    let texts = fields.items().iter().map(|field| {
        let bytes = field.text().expect("a text");
        String::from_utf8(bytes.to_vec()).unwrap_or_else(|error| hex(error.as_bytes()))
    });
    let texts: Vec<String> = texts.collect();
    Entry(texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
}

/// Bytes that are no text, readable.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("\\x"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
