//! The operator's pages, followed: their command blocks are run as they stand, in their order, or
//! listed with the reason why they cannot be run here.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use outflow_local::{Postgres, PostgresOptions, Program, Redis, eventually, free_port};
use tempfile::TempDir;

use super::install::{path, read};
use super::tools::run;
use crate::support::{LIMIT, kubectl, program};

/// A fenced block: its language and its lines, without the indentation of the list that it is in.
struct Block {
    language: String,
    text: String,
}

/// Blocks that no test runs, by their first line, and why.
const NOT_RUN: [(&str, &str); 20] = [
    (
        "redis/users.sh redis/users.acl -h REDIS_HOST",
        "is run by users.rs, with passwords in the \
        file",
    ),
    (
        r"sudo -u postgres psql -d app -c '\password outflow_migrator'",
        "asks for a password on a \
        terminal",
    ),
    (
        "docker build -f deploy/Dockerfile -t registry.example.com/outflow:0.1.0 .",
        "needs docker \
        and a registry",
    ),
    ("kubectl create namespace outflow", "needs a cluster"),
    (
        "kubectl -n outflow create secret generic outflow-consumer-postgres \
            --from-literal=url=postgres://order_consumer:PASSWORD@HOST/app",
        "needs a cluster",
    ),
    ("kubectl -n outflow logs job/outflow-check", "needs a cluster"),
    (
        "kubectl -n outflow exec order-consumer-inventory-0 -- /usr/bin/outflow stream dead list \
            events.order --since 2d --redis-url-file /run/secrets/outflow/redis/url",
        "needs a cluster",
    ),
    ("kubectl -n outflow get pods", "needs a cluster"),
    ("docker compose -f deploy/compose.yaml up --build", "needs docker"),
    (
        "cargo build --locked --profile dist --bin outflow",
        "builds for minutes, and installs on \
        this machine",
    ),
    ("outflow status --watch", "ends with Ctrl-C"),
    ("outflow stream list --watch", "ends with Ctrl-C"),
    ("outflow dead show 1", "needs dead letters with these numbers"),
    (
        "outflow stream dead retry events.order --redis-url-file ./admin-url --since 2d --rate \
            100 --dry-run",
        "needs the address of an administrator",
    ),
    ("outflow console --listen 127.0.0.1:9465", "ends with Ctrl-C"),
    ("location / {", "is a part of nginx.conf"),
    ("[Service]", "is a drop-in of systemd"),
    ("# The address around the pooler", "is a drop-in of systemd"),
    ("[databases]", "is pgbouncer.ini, which poolers/addresses.rs runs"),
    ("global:", "is a part of prometheus.yml"),
];

/// The pages in the order in which they are followed. The end of the first one removes everything,
/// so it comes last.
fn parts() -> Vec<String> {
    let pages = [
        "install",
        "kubernetes",
        "configuration",
        "tls",
        "redis-topologies",
        "console",
        "operating",
        "upgrading",
    ];
    let mut parts = pages.map(|page| read(&format!("../docs/{page}.md"))).to_vec();
    let (install, uninstall) = parts[0].split_once("\n## Uninstall\n").expect("how to uninstall");
    let (install, uninstall) = (install.to_owned(), uninstall.to_owned());
    parts[0] = install;
    parts.push(uninstall);
    parts
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let body = lines.by_ref().take_while(|line| line.trim() != "```");
        let body: Vec<&str> = body.map(|line| line.get(indent..).unwrap_or_default()).collect();
        blocks.push(Block { language: language.to_owned(), text: body.join("\n") });
    }
    blocks
}

/// A machine with both servers and nothing of ours, and the programs that the guide calls.
struct Machine {
    postgres: Postgres,
    redis: Redis,
    dir: TempDir,
}

impl Machine {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        // Redis writes its users back.
        let users = dir.path().join("users.acl");
        std::fs::write(&users, read("redis/users.acl")).expect("a file");
        let users = users.display().to_string();
        let args = ["--aclfile", users.as_str(), "--appendonly", "yes", "--appendfsync", "always"];
        let (postgres, redis) = tokio::join!(
            Postgres::start_with(dir.path(), PostgresOptions::default()),
            Redis::start(dir.path(), &args)
        );
        let machine =
            Self { postgres: postgres.expect("Postgres"), redis: redis.expect("Redis"), dir };
        machine.program("sudo", "if [ \"$1\" = -u ]; then shift 2; fi; exec \"$@\"");
        machine.program("apt", "exit 0");
        machine.program("systemctl", "exit 0");
        machine.program("journalctl", "exit 0");
        machine.program("outflow", concat!("exec ", env!("CARGO_BIN_EXE_outflow"), " \"$@\""));
        machine.program("order-consumer", &format!("exec {} \"$@\"", program("order-consumer")));
        let config =
            read("debian/config.toml").replace("9464", &free_port().expect("a port").to_string());
        std::fs::create_dir_all(machine.etc()).expect("a directory");
        std::fs::write(machine.etc().join("config.toml"), config).expect("a file");
        machine.sh("createdb app");
        machine
    }

    fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    fn etc(&self) -> PathBuf {
        self.dir.path().join("etc/outflow")
    }

    /// A program of that name that does this.
    fn program(&self, name: &str, does: &str) {
        std::fs::create_dir_all(self.bin()).expect("a directory");
        let file = self.bin().join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{does}\n")).expect("a file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    /// The guide's placeholders, filled in.
    fn filled(&self, text: &str) -> String {
        let redis = format!("127.0.0.1:{}", self.redis.port());
        let mut text = text
            .replace("PASSWORD@HOST/app", &format!("x@127.0.0.1:{}/app", self.postgres.port()))
            .replace(
                "-h REDIS_HOST",
                &format!(
                    "-h 127.0.0.1 -p {} --user admin --pass change-me-admin --no-auth-warning",
                    self.redis.port()
                ),
            )
            .replace("/usr/share/doc/outflow/examples", &path("sql").display().to_string())
            .replace("/etc/outflow", &self.etc().display().to_string());
        for user in ["outflow", "monitor", "consumer"] {
            text = text.replace(
                &format!("{user}:PASSWORD@REDIS_HOST:6379"),
                &format!("{user}:change-me-{user}@{redis}"),
            );
        }
        text
    }

    /// Runs a block of shell commands; each must succeed.
    fn sh(&self, text: &str) -> String {
        let path =
            format!("{}:{}", self.bin().display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("sh");
        command
            .args(["-euc", &self.filled(text)])
            .env("PATH", path)
            .current_dir(super::install::path("sql"));
        // The socket of a Debian server, for whoever is `postgres` there.
        command
            .envs([("PGHOST", "127.0.0.1"), ("PGUSER", "postgres")])
            .env("PGPORT", self.postgres.port().to_string());
        run(&mut command)
    }

    /// Runs a block of SQL as the superuser.
    fn sql(&self, text: &str) -> String {
        let file = self.dir.path().join("block.sql");
        std::fs::write(&file, text).expect("a file");
        self.sh(&format!("psql -d app -qAt -v ON_ERROR_STOP=1 -f {}", file.display()))
    }

    /// A block of configuration is a valid one, together with the addresses that it does not give.
    fn configures(&self, text: &str) {
        let file = self.dir.path().join("block.toml");
        std::fs::write(&file, text).expect("a file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        let mut command = Command::new(env!("CARGO_BIN_EXE_outflow"));
        command.args(["check", "--offline", "--config"]).arg(&file);
        command.env("OUTFLOW_POSTGRES__URL", "postgres://u@h/d");
        if !text.contains("url = \"redis-") {
            command.env("OUTFLOW_REDIS__URL", "redis://h");
        }
        run(&mut command);
    }

    /// What systemd would start.
    fn relay(&self) -> Program {
        let (etc, file) = (self.etc(), |name: &str| self.etc().join(name).display().to_string());
        let envs = [
            ("OUTFLOW_POSTGRES__URL_FILE", file("postgres-url")),
            ("OUTFLOW_REDIS__URL_FILE", file("redis-url")),
            ("OUTFLOW_CONFIG", etc.join("config.toml").display().to_string()),
        ];
        let envs = envs.each_ref().map(|(name, value)| (*name, value.as_str()));
        Program::start(
            "relay",
            Path::new(env!("CARGO_BIN_EXE_outflow")),
            &["run"],
            &envs,
            self.dir.path(),
        )
        .expect("it")
    }
}

/// Everything from a machine without Outflow, through a relay that works, to a machine without
/// Outflow.
#[tokio::test]
async fn its_commands_work_as_they_stand() {
    let machine = Machine::new().await;
    let mut relay: Option<Program> = None;
    let (mut listed, mut done) = (Vec::new(), 0);
    for part in parts() {
        // What a reader exports at the top of a page counts for the rest of it.
        let mut exports = String::new();
        for Block { language, text } in blocks(&part) {
            let first = text.lines().next().unwrap_or_default();
            if let Some((line, _reason)) = NOT_RUN.iter().find(|(line, _)| *line == first) {
                listed.push(*line);
                continue;
            }
            if relay.is_none()
                && ["systemctl stop outflow", "healthcheck"].iter().any(|word| text.contains(word))
            {
                let started = machine.relay();
                machine.sql(
                    "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
                        values ('order', 'a', 'T', '{}')",
                );
                eventually(LIMIT, "it to be delivered", async || {
                    machine.sql("select count(*) from outbox").trim() == "0"
                })
                .await
                .unwrap_or_else(|error| panic!("{error}: {}", started.log_tail()));
                relay = Some(started);
            }
            match language.as_str() {
                "sh" if text.lines().all(|line| line.starts_with("export ")) => {
                    exports.push_str(&text);
                    exports.push('\n');
                }
                "sh" => drop(machine.sh(&(exports.clone() + &text))),
                "sql" => drop(machine.sql(&text)),
                "yaml" => kustomizes(&text),
                "toml" => machine.configures(&text),
                // What a command prints.
                "text" => continue,
                other => panic!(
                    "a block in {other:?} is neither run nor listed in \
                    NOT_RUN:\n{text}"
                ),
            }
            done += 1;
            if text.contains("systemctl stop outflow")
                && let Some(relay) = &mut relay
            {
                relay.terminate();
                assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
            }
        }
    }
    assert_eq!(listed.len(), NOT_RUN.len(), "listed, but not in the pages any more: {listed:?}");
    assert!(done >= 30, "only {done} blocks were run");
    assert!(relay.is_some(), "no relay was started");
    let left = machine.sql(
        "select count(*) from pg_class where relnamespace = to_regnamespace('outflow') or relname \
            = 'outbox' \
         union all select count(*) from pg_roles where rolname ~ 'outflow|order'",
    );
    assert_eq!(left.trim(), "0\n0");
    let keys = machine.sh("redis-cli -h REDIS_HOST keys '*'");
    assert_eq!(keys.trim(), "events.order", "the journal is gone, the stream is not");
    assert!(!machine.sh("redis-cli -h REDIS_HOST acl list").contains("user outflow"));
}

/// The kustomization of one's own is one that kubectl takes.
fn kustomizes(text: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let copied =
        Command::new("cp").arg("-r").arg(path("kubernetes")).arg(dir.path()).status().expect("cp");
    assert!(copied.success());
    let mine = dir.path().join("kubernetes/mine");
    std::fs::create_dir(&mine).expect("a directory");
    std::fs::write(mine.join("kustomization.yaml"), text).expect("a file");
    let rendered = run(Command::new(kubectl()).arg("kustomize").arg(&mine));
    assert_eq!(
        rendered.matches("image: registry.example.com/outflow:0.1.0").count(),
        3,
        "{rendered}"
    );
    assert!(rendered.contains("name: outflow-check\n"), "{rendered}");
}
