//! Servers set up as the operator's guide says: the roles of `deploy/sql/`, the users of
//! `deploy/redis/users.acl`.

use std::path::{Path, PathBuf};

use outflow_local::{
    Postgres, PostgresOptions, Program, Redis, Servers, eventually, free_port, session,
};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_postgres::Client;

use crate::support::{LIMIT, program};

/// A file of `deploy/`.
pub(super) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// The text of a file of `deploy/`.
pub(super) fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

/// Servers with the roles, migrated by `outflow_migrator`, and with the grants.
pub(super) struct Install {
    postgres: Postgres,
    redis: Redis,
    pub(super) dir: TempDir,
}

/// A program, and where its probes are.
pub(super) struct Running {
    pub(super) program: Program,
    pub(super) address: String,
}

impl Install {
    pub(super) async fn new() -> Self {
        let users = path("redis/users.acl").display().to_string();
        let args = ["--aclfile", users.as_str()];
        let servers = Servers::start_with("outflow-", PostgresOptions::default(), &args).await;
        let Servers { postgres, redis, dir } = servers.expect("servers");
        let install = Self { postgres, redis, dir };
        // Twice each: both files say that running them again changes nothing.
        for _ in 0..2 {
            install.sql("postgres", &read("sql/roles.sql")).await;
        }
        install.migrate().await;
        for _ in 0..2 {
            install.sql("outflow_migrator", &read("sql/grants.sql")).await;
        }
        // A new version migrates over the grants, and they stay.
        install.migrate().await;
        install
    }

    async fn migrate(&self) {
        let url = self.postgres_url("outflow_migrator");
        let mut migrate = self.outflow("migrate", "migrate", &[("OUTFLOW_POSTGRES__URL", &url)]);
        let status = migrate.wait(LIMIT).await.expect("an end");
        assert!(status.success(), "{}", migrate.log());
    }

    /// The relay, by its own roles and with nothing configured but the addresses.
    pub(super) async fn relay(&self, name: &str) -> Running {
        let address = format!("127.0.0.1:{}", free_port().expect("a port"));
        let envs = [
            ("OUTFLOW_POSTGRES__URL", self.postgres_url("outflow_relay")),
            ("OUTFLOW_REDIS__URL", self.redis_url("outflow")),
            ("OUTFLOW_ADMIN__LISTEN", address.clone()),
        ];
        let envs = envs.each_ref().map(|(name, value)| (*name, value.as_str()));
        ready(self.outflow(name, "run", &envs), address).await
    }

    pub(super) async fn order_api(&self) -> Running {
        let address = format!("127.0.0.1:{}", free_port().expect("a port"));
        let postgres = self.postgres_url("order_api");
        let args = ["--listen", &address, "--postgres-url", &postgres];
        let binary = Path::new(program("order-api"));
        ready(
            Program::start("order-api", binary, &args, &[], self.dir.path()).expect("order-api"),
            address,
        )
        .await
    }

    pub(super) async fn order_consumer(&self) -> Running {
        let address = format!("127.0.0.1:{}", free_port().expect("a port"));
        let (postgres, redis) = (self.postgres_url("order_consumer"), self.redis_url("consumer"));
        let args = ["--listen", &address, "--postgres-url", &postgres, "--redis-url", &redis];
        let binary = Path::new(program("order-consumer"));
        ready(
            Program::start("order-consumer", binary, &args, &[], self.dir.path()).expect("it"),
            address,
        )
        .await
    }

    fn outflow(&self, name: &str, command: &str, envs: &[(&str, &str)]) -> Program {
        let binary = Path::new(env!("CARGO_BIN_EXE_outflow"));
        Program::start(name, binary, &[command], envs, self.dir.path()).expect("outflow")
    }

    fn postgres_url(&self, role: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/postgres", self.postgres.port())
    }

    pub(super) fn redis_url(&self, user: &str) -> String {
        match user {
            "default" => self.redis.url(),
            _ => format!("redis://{user}:change-me-{user}@127.0.0.1:{}", self.redis.port()),
        }
    }

    /// A session of a role.
    pub(super) async fn client(&self, role: &str) -> Client {
        session(&self.postgres_url(role)).await.unwrap_or_else(|error| panic!("{role}: {error}"))
    }

    pub(super) async fn sql(&self, role: &str, statements: &str) {
        let done = self.client(role).await.batch_execute(statements).await;
        done.unwrap_or_else(|error| panic!("{role}: {error:?}"));
    }

    /// Waits until a query of the superuser gives true.
    pub(super) async fn until(&self, condition: &str) {
        let client = self.client("postgres").await;
        let query = format!("select ({condition})::boolean");
        let waited = eventually(LIMIT, condition, async || {
            client.query_one(&query, &[]).await.is_ok_and(|row| row.get::<_, bool>(0))
        });
        waited.await.expect("it to become true");
    }

    /// What Redis answers to PING without a password.
    pub(super) async fn anonymous_ping(&self) -> String {
        let mut connection =
            TcpStream::connect(("127.0.0.1", self.redis.port())).await.expect("a connection");
        connection.write_all(b"PING\r\n").await.expect("a PING");
        let mut line = String::new();
        BufReader::new(connection).read_line(&mut line).await.expect("an answer");
        line.trim_end().to_owned()
    }

    /// Ends Redis, cleanly or as in a crash, and starts it again with its data.
    pub(super) async fn restart_redis(&mut self, cleanly: bool) {
        if cleanly {
            self.redis.stop().await.expect("a stop");
        } else {
            self.redis.kill().await.expect("its end");
        }
        self.redis.start_again().await.expect("a start");
    }

    /// A connection of a user of the ACL file.
    pub(super) async fn redis(&self, user: &str) -> outflow_connect::redis::Redis {
        let url = SecretString::from(self.redis_url(user));
        let redis = outflow_connect::redis::Redis::open(&url, "test").expect("an address");
        redis.ready(LIMIT).await.unwrap_or_else(|error| panic!("{user}: {error}"));
        redis
    }
}

/// Waits for 200 of `/readyz`.
async fn ready(program: Program, address: String) -> Running {
    let url = format!("http://{address}/readyz");
    let waited = eventually(LIMIT, "/readyz to say 200", async || {
        reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success())
    });
    assert!(waited.await.is_ok(), "{} is not ready: {}", program.name(), program.log_tail());
    Running { program, address }
}
