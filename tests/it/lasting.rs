//! What `check` prints is followed to the letter, for Redis on servers that keep their settings in
//! different ways; then the server is killed. Settings, permissions and data are there after its
//! next start.

use std::path::{Path, PathBuf};

use outflow_connect::redis::{Args, Failure, Reply};
use outflow_local::{Program, eventually, free_port};
use serde_json::Value;

use crate::support::{LIMIT, Stage, outbox};

const EVENTS: i64 = 500;
/// Each is worth a finding.
const POOR: [(&str, &str); 3] =
    [("appendonly", "no"), ("appendfsync", "no"), ("maxmemory-policy", "allkeys-lru")];

/// Where a server has its settings and users from.
#[derive(Debug, Clone, Copy)]
struct Kind {
    config_file: bool,
    acl_file: bool,
    /// A setting is an argument although there is a file.
    arguments_win: bool,
}

struct Server {
    args: Vec<String>,
    dir: PathBuf,
    port: u16,
    program: Program,
}

impl Server {
    async fn start(dir: &Path, kind: Kind) -> Self {
        std::fs::create_dir(dir).expect("a directory");
        let port = free_port().expect("a port");
        let (place, of_port) = (dir.display().to_string(), port.to_string());
        let users = dir.join("users.acl").display().to_string();
        let fixed =
            [("port", of_port.as_str()), ("bind", "127.0.0.1"), ("dir", &place), ("save", "\"\"")];
        let mut settings: Vec<(&str, &str)> = fixed.into_iter().chain(POOR).collect();
        if kind.acl_file {
            std::fs::write(&users, "").expect("a file");
            settings.push(("aclfile", &users));
        }
        let mut args = Vec::new();
        if kind.config_file {
            let file = dir.join("redis.conf");
            let lines: Vec<String> =
                settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
            std::fs::write(&file, lines.join("\n")).expect("a file");
            args.push(file.display().to_string());
            settings.retain(|(name, _)| kind.arguments_win && *name == "maxmemory-policy");
        }
        args.extend(
            settings.iter().flat_map(|(name, value)| {
                [format!("--{name}"), value.trim_matches('"').to_owned()]
            }),
        );
        let program = launch(dir, &args);
        let server = Self { args, dir: dir.to_owned(), port, program };
        server.call("PING", &[]).await.expect("an answer");
        server
    }

    fn url(&self, user: &str) -> String {
        format!("redis://{user}127.0.0.1:{}", self.port)
    }

    async fn call(&self, command: &'static str, words: &[&str]) -> Result<Reply, Failure> {
        let redis =
            outflow_connect::redis::Redis::open(&self.url("").into(), "test").expect("an address");
        redis.ready(LIMIT).await.expect("a connection");
        let outcome = redis.call(command, words.iter().copied().collect::<Args>()).await;
        redis.close().await;
        outcome
    }

    /// As in redis-cli.
    async fn run(&self, line: &str) -> Result<Reply, Failure> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "ACL" => self.call("ACL", &words[1..]).await,
            "CONFIG" => self.call("CONFIG", &words[1..]).await,
            other => panic!("not to be run: {other}"),
        }
    }

    /// What is to follow a line, tried in the order in which it is said.
    async fn keep(&mut self, line: &str, lasting: &str) {
        if lasting.starts_with(
            "wait until INFO persistence has aof_rewrite_in_progress:0 and aof_rewrite_scheduled:0",
        ) {
            self.rewritten().await;
        }
        let has = |words: &str| lasting.contains(words);
        if has("ACL SAVE;") || lasting == "ACL SAVE" {
            match self.run("ACL SAVE").await {
                Ok(_) => return,
                Err(failure) => assert!(
                    failure.to_string().contains("not configured to use an ACL file"),
                    "{failure}"
                ),
            }
        }
        if has("CONFIG REWRITE;") || lasting.ends_with("CONFIG REWRITE") {
            match self.run("CONFIG REWRITE").await {
                Ok(_) if line.starts_with("ACL ") => return,
                Ok(_) => {}
                Err(failure) => {
                    assert!(failure.to_string().contains("without a config file"), "{failure}");
                }
            }
        }
        if has("write the lines of ACL LIST to a file, and add --aclfile FILE to the server's \
                arguments")
        {
            let list = self.run("ACL LIST").await.expect("users");
            let lines: String =
                list.items().iter().filter_map(Reply::string).map(|line| line + "\n").collect();
            let file = self.dir.join("listed.acl");
            std::fs::write(&file, lines).expect("a file");
            return self.args.extend(["--aclfile".to_owned(), file.display().to_string()]);
        }
        let words: Vec<&str> = line.split(' ').collect();
        let argument = format!("--{}", words[2]);
        if has(&format!("add {argument} {} to the server's arguments", words[3])) {
            return self.args.extend([argument, words[3].to_owned()]);
        }
        assert!(
            has(&format!("if the server's arguments set {}, change it there", words[2])),
            "{line}: {lasting}"
        );
        if let Some(at) = self.args.iter().position(|word| *word == argument) {
            words[3].clone_into(&mut self.args[at + 1]);
        }
    }

    async fn rewritten(&self) {
        eventually(LIMIT, "the first append-only file", async || {
            let info = self
                .call("INFO", &["persistence"])
                .await
                .expect("an answer")
                .string()
                .expect("a text");
            info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
        })
        .await
        .expect("a file");
    }

    async fn crash(&mut self) {
        self.program.kill();
        self.program = launch(&self.dir, &self.args);
        self.call("PING", &[]).await.expect("an answer");
    }
}

fn launch(dir: &Path, args: &[String]) -> Program {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Program::start("redis", Path::new("redis-server"), &args, &[], dir).expect("a server")
}

/// Follows what is printed until nothing is left to follow.
async fn mend(stage: &Stage, server: &mut Server) -> usize {
    let mut count = 0;
    loop {
        let asked = stage.asked(&["check", "--json"]).await;
        let findings: Vec<Value> =
            asked.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let remedies = findings
            .iter()
            .map(|finding| &finding["remedy"])
            .filter(|remedy| remedy["kind"] == "redis");
        let before = count;
        for remedy in remedies {
            let [line, lasting] =
                ["text", "lasting"].map(|name| remedy[name].as_str().expect("a text").to_owned());
            server.run(&line).await.unwrap_or_else(|failure| panic!("{line}: {failure}"));
            server.keep(&line, &lasting).await;
            count += 1;
        }
        if count == before {
            return count;
        }
        assert!(count < 20, "it does not end: {asked:?}");
    }
}

#[tokio::test]
async fn what_is_printed_for_redis_outlives_a_crash() {
    let kind = |config_file, acl_file| Kind { config_file, acl_file, arguments_win: false };
    let kinds = [
        kind(true, false),
        kind(true, true),
        kind(false, true),
        kind(false, false),
        Kind { arguments_win: true, ..kind(true, false) },
    ];
    let stage = Stage::new(&outbox("")).await;
    for (round, kind) in kinds.into_iter().enumerate() {
        let mut server = Server::start(&stage.path().join(format!("round-{round}")), kind).await;
        server
            .call("ACL", &["SETUSER", "relay", "on", ">pw", "+ping", "+client", "+info"])
            .await
            .expect("a user");
        // The administrator sees to the settings, the relay's own rights are asked for as the
        // relay.
        stage.configure_with(&server.url(""), &outbox(""));
        assert_eq!(mend(&stage, &mut server).await, 3, "{kind:?}");
        stage.configure_with(&server.url("relay:pw@"), &outbox(""));
        assert!(mend(&stage, &mut server).await >= 2, "{kind:?}");
        stage
            .sql(&format!(
                "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
                 select 'order', 'k' || n % 9, 'T', '{{}}' from generate_series(1, {EVENTS}) n"
            ))
            .await;
        stage.once().await;
        server.crash().await;
        for user in ["relay:pw@", ""] {
            stage.configure_with(&server.url(user), &outbox(""));
            assert_eq!(
                mend(&stage, &mut server).await,
                0,
                "{kind:?}: as {user:?} there is something left to do"
            );
        }
        let length = server.call("XLEN", &["events.order"]).await.expect("a length");
        assert_eq!(length.int(), Some(EVENTS), "{kind:?}");
        // The next server is another one: it has no journal.
        stage.sql("update outflow.outbox set generation = 0; delete from outflow.witness").await;
    }
}

/// Unlike Redis, Postgres needs nothing more than what is printed.
#[tokio::test]
async fn what_is_printed_for_postgres_outlives_a_crash() {
    const POOR: &str = "create role poor login; revoke all on schema public from public; grant \
        usage on schema public to poor; \
        alter table outbox set unlogged; alter sequence outbox_id_seq cache 20; \
        alter table outbox disable trigger outflow_wake; alter table outbox enable row level \
        security; \
        create rule away as on delete to outbox do instead nothing";
    let mut stage = Stage::new(&outbox("")).await;
    stage.sql(POOR).await;
    let file = stage.path().join("outflow.toml");
    let text = std::fs::read_to_string(&file)
        .expect("a file")
        .replace("postgres://postgres@", "postgres://poor@");
    std::fs::write(&file, text).expect("a file");
    let lines = async |stage: &Stage| -> Vec<String> {
        let asked = stage.asked(&["check", "--json"]).await;
        let findings =
            asked.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
        let of_sql = findings
            .map(|mut finding| finding["remedy"].take())
            .filter(|remedy| remedy["kind"] == "sql");
        of_sql.map(|remedy| remedy["text"].as_str().expect("a text").to_owned()).collect()
    };
    let mut run = Vec::new();
    loop {
        let printed = lines(&stage).await;
        if printed.is_empty() {
            break;
        }
        for line in printed {
            assert!(!run.contains(&line), "again: {line}");
            stage.sql(&line).await;
            run.push(line);
        }
    }
    for words in
        ["set logged", "cache 1", "enable always trigger", "create policy", "drop rule", "grant "]
    {
        assert!(run.iter().any(|line| line.contains(words)), "{words}: {run:#?}");
    }
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
            ('order', 'k', 'T', '{}')",
        )
        .await;
    stage.postgres.stop_immediate().await.expect("its end");
    stage.postgres.start_again().await.expect("a start");
    assert_eq!(lines(&stage).await, Vec::<String>::new());
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 1);
}
