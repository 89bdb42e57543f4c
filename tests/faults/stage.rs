//! Private servers, the proxies before them, and the members: real processes of the real binary.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use outflow_connect::redis::{Args, Reply};
use outflow_local::{
    Error, Outflow, Postgres, PostgresOptions, Program, Redis, Servers, eventually, free_port,
    number, redis_client, session,
};
use tempfile::TempDir;
use tokio::sync::{Mutex, RwLock};
use tokio_postgres::Client;

use super::kept::{Flushed, Layout};
use super::memory::Memory;
use super::pitr::Back;
use super::proxy::{Label, Mode, Proxy};
use super::readers::{GROUPS, Readers};
use super::restore::Losses;
use super::run::Plan;

/// Longer than any wait that is not a failure, also on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// What a fault is done to.
pub(crate) struct Stage {
    pub(crate) postgres: Mutex<Postgres>,
    pub(crate) redis: Mutex<Redis>,
    pub(crate) members: Vec<Member>,
    /// A proxy's lanes: a member's control connection, and its others.
    pub(crate) to_postgres: Proxy,
    /// A proxy's lanes: one a member.
    pub(crate) to_redis: Proxy,
    /// Held as long as the table is not what it was, or must not be altered.
    pub(crate) ddl: Mutex<()>,
    /// Held by whoever writes a key without its counter's lock, and by who sets the sequence back.
    pub(crate) sequence: Mutex<()>,
    /// Shared by the faults that may be under way at once; held exclusively by one that may not.
    pub(crate) quiet: RwLock<()>,
    /// What Redis has lost, to the event.
    pub(crate) losses: parking_lot::Mutex<Losses>,
    /// What it held whenever it was emptied.
    flushed: parking_lot::Mutex<Vec<Flushed>>,
    /// How often Postgres went back in time, and what with.
    backs: parking_lot::Mutex<Vec<Back>>,
    postgres_url: String,
    redis_url: parking_lot::Mutex<String>,
    /// What each Redis is started with.
    redis_args: Vec<String>,
    /// How often another Redis took over.
    fail_overs: AtomicU32,
    /// If the relay keeps the rows.
    keep: Option<Layout>,
    /// If the relay trims.
    trimmed: Option<Trimmed>,
    outflow: Outflow,
    dir: Arc<TempDir>,
}

/// What reads what the relay trims, and what watches Redis meanwhile.
struct Trimmed {
    readers: Readers,
    memory: Memory,
}

/// What the relay waits for before it trims.
const TRIMS: &str = "[outbox.trim]\nwhen = \"consumed\"\n";

/// One relay, however often it is started.
pub(crate) struct Member {
    /// Also its user in both servers.
    pub(crate) name: String,
    pub(crate) program: Mutex<Program>,
    /// Held by the fault that ends it, until it runs again.
    pub(crate) ending: Mutex<()>,
    envs: Vec<(String, String)>,
}

impl Stage {
    /// Servers, proxies, the outbox, and the members at work on it.
    pub(crate) async fn start(plan: &Plan) -> Self {
        let Plan { rewrites, prelude, maxmemory, .. } = plan;
        let (members, trims) = (plan.members, *maxmemory > 0);
        let max = maxmemory.to_string();
        let names: Vec<String> = (1..=members).map(|n| format!("m{n}")).collect();
        let users =
            names.iter().flat_map(|name| ["--user", name, "on", ">pw", "~*", "&*", "+@all"]);
        let more: &[&str] = if trims {
            &["--maxmemory", &max, "--maxmemory-policy", "noeviction"]
        } else {
            // Its files can be copied at any time.
            &["--auto-aof-rewrite-percentage", "0"]
        };
        let users: Vec<&str> = users.chain(more.iter().copied()).collect();
        let servers =
            Servers::start_with("outflow-faults-", PostgresOptions::default(), &users).await;
        let Servers { postgres, redis, dir } = servers.expect("servers");
        let to_postgres = Proxy::start(
            postgres.port(),
            names.iter().flat_map(|name| lanes(name)).collect(),
            rewrites,
        );
        let in_redis =
            names.iter().map(|name| vec![format!("\r\n{name}\r\n").into_bytes()]).collect();
        let (to_postgres, to_redis) =
            tokio::join!(to_postgres, Proxy::start(redis.port(), in_redis, rewrites));
        let mut stage = Self {
            postgres_url: postgres.url(),
            redis_url: parking_lot::Mutex::new(redis.url()),
            redis_args: users.iter().map(|&arg| arg.to_owned()).collect(),
            fail_overs: AtomicU32::new(0),
            trimmed: None,
            postgres: Mutex::new(postgres),
            redis: Mutex::new(redis),
            members: Vec::new(),
            to_postgres,
            to_redis,
            ddl: Mutex::default(),
            sequence: Mutex::default(),
            quiet: RwLock::default(),
            losses: parking_lot::Mutex::default(),
            flushed: parking_lot::Mutex::default(),
            backs: parking_lot::Mutex::default(),
            keep: plan.keep,
            outflow: Outflow::new(env!("CARGO_BIN_EXE_outflow"), dir.path()),
            dir: Arc::new(dir),
        };
        stage.prepare(&names, prelude, trims).await;
        if trims {
            let url = stage.redis_url();
            let readers = Readers::start(&stage, &url, plan.seed).await;
            stage.trimmed = Some(Trimmed { readers, memory: Memory::start(&url, *maxmemory) });
        }
        for name in names {
            let member = stage.member(name);
            stage.members.push(member);
        }
        stage
    }

    async fn prepare(&self, names: &[String], prelude: &str, trims: bool) {
        let (rows, trim) = if trims {
            (200, format!("{TRIMS}groups = {GROUPS:?}\n"))
        } else {
            (20, String::new())
        };
        let keep = self.keep.map_or_else(String::new, |layout| {
            format!("settle = \"keep\"\n[outbox.keep]\nlayout = \"{}\"\n", layout.name())
        });
        let outbox = format!(
            "[[outbox]]\nname = \"orders\"\nbatch_rows = {rows}\nevent_bytes_max = \"4KiB\"\n\
                {keep}{trim}"
        );
        self.outflow.configure(&self.postgres_url, &self.redis_url(), &outbox).expect("a file");
        let migrated = self.outflow.succeed("migrate", &["migrate", "--triggers"], LIMIT).await;
        migrated.unwrap_or_else(|error| panic!("{error}"));
        let client = self.client().await.expect("a connection");
        // As an earlier version made it: jsonb may be more than Postgres can print.
        let as_jsonb = "alter table outbox alter payload type jsonb";
        client.batch_execute(as_jsonb).await.expect("another type");
        for name in names {
            client
                .batch_execute(&format!("create role {name} superuser login"))
                .await
                .expect("a role");
        }
        client.batch_execute(prelude).await.expect("the prelude");
    }

    fn member(&self, name: String) -> Member {
        let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
        let envs = vec![
            ("OUTFLOW_ADMIN__LISTEN".to_owned(), listen),
            // Without the question for TLS in front, the first bytes say whose connection it is.
            (
                "OUTFLOW_POSTGRES__URL".to_owned(),
                format!(
                    "postgres://{name}@127.0.0.1:{}/postgres?sslmode=disable",
                    self.to_postgres.port()
                ),
            ),
            (
                "OUTFLOW_REDIS__URL".to_owned(),
                format!("redis://{name}:pw@127.0.0.1:{}", self.to_redis.port()),
            ),
        ];
        let program = self.launch(&name, &envs).expect("a member");
        Member { name, program: Mutex::new(program), ending: Mutex::default(), envs }
    }

    fn launch(&self, name: &str, envs: &[(String, String)]) -> Result<Program, Error> {
        let envs: Vec<(&str, &str)> =
            envs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.outflow.start(name, &["run"], &envs)
    }

    /// Starts a member that has ended.
    pub(crate) fn start_again(&self, member: &Member, program: &mut Program) {
        *program = self.launch(&member.name, &member.envs).expect("a member");
    }

    /// How the table is made if its rows stay.
    pub(crate) fn layout(&self) -> Option<Layout> {
        self.keep
    }

    pub(crate) fn note_flushed(&self, flushed: Flushed) {
        self.flushed.lock().push(flushed);
    }

    pub(crate) fn flushed(&self) -> Vec<Flushed> {
        self.flushed.lock().clone()
    }

    pub(crate) fn note_back(&self, back: Back) {
        self.backs.lock().push(back);
    }

    pub(crate) fn backs(&self) -> Vec<Back> {
        self.backs.lock().clone()
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Leaves the files where they are, for whoever looks for the cause.
    pub(crate) fn keep(self) -> std::path::PathBuf {
        let Self { dir, members, .. } = self;
        drop(members);
        let path = dir.path().to_owned();
        if let Some(dir) = Arc::into_inner(dir) {
            let _ = dir.keep();
        }
        path
    }

    pub(crate) fn postgres_url(&self) -> &str {
        &self.postgres_url
    }

    /// The groups, if the relay trims.
    pub(crate) fn trimmed(&self) -> Option<(&Readers, &Memory)> {
        self.trimmed.as_ref().map(|trimmed| (&trimmed.readers, &trimmed.memory))
    }

    pub(crate) fn readers(&self) -> &Readers {
        self.trimmed().expect("groups: this fault needs TRIM=1").0
    }

    /// The setting of Redis; 0: it has no limit.
    pub(crate) fn maxmemory(&self) -> u64 {
        self.trimmed().map_or(0, |(_, memory)| memory.max())
    }

    /// A connection past the proxy.
    pub(crate) async fn client(&self) -> Result<Client, tokio_postgres::Error> {
        session(&self.postgres_url).await
    }

    /// Runs a query past the proxy, however long the server is down: the first column of the first
    /// row.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        let asked = eventually(LIMIT, query, async || {
            let client = self.client().await.ok()?;
            number(&client, query).await.ok()
        });
        asked.await.expect("an answer")
    }

    /// A connection past the proxy, as the default user.
    pub(crate) fn redis_client(&self) -> outflow_connect::redis::Redis {
        redis_client(&self.redis_url(), "faults")
    }

    fn redis_url(&self) -> String {
        self.redis_url.lock().clone()
    }

    /// One more Redis, empty, with the same users.
    pub(crate) async fn another_redis(&self) -> Redis {
        let number = self.fail_overs.fetch_add(1, Ordering::Relaxed);
        let dir = self.path().join(format!("replica-{number}"));
        std::fs::create_dir(&dir).expect("a directory");
        let args: Vec<&str> = self.redis_args.iter().map(String::as_str).collect();
        Redis::start(&dir, &args).await.expect("a server")
    }

    /// From now on the members' address is that of another Redis.
    pub(crate) fn lead_to(&self, redis: &Redis) {
        *self.redis_url.lock() = redis.url();
        self.to_redis.lead_to(redis.port());
    }

    /// Runs a command past the proxy until it has an answer; an error is one.
    pub(crate) async fn command(
        &self,
        command: &'static str,
        args: &[&str],
    ) -> Result<Reply, String> {
        let redis = self.redis_client();
        let what = format!("{command} {args:?}");
        let asked = eventually(LIMIT, &what, async || {
            redis.ready(LIMIT).await.ok()?;
            let all: Args = args.iter().copied().collect();
            match redis.call(command, all).await {
                Ok(reply) => Some(Ok(reply)),
                Err(failure) if failure.code().is_some_and(|code| code != "LOADING") => {
                    Some(Err(failure.to_string()))
                }
                Err(_not_reached) => None,
            }
        });
        let answer = asked.await.expect("an answer");
        redis.close().await;
        answer
    }

    /// The clock that the ids of entries have, in ms.
    pub(crate) async fn redis_time_ms(&self) -> u64 {
        let time = self.command("TIME", &[]).await.expect("a time");
        time_ms(&time)
    }

    /// Sets what becomes of a member's bytes to Postgres: those of its control connection, its
    /// others, or both.
    pub(crate) fn on_way_to_postgres(&self, member: usize, which: Way, mode: Mode) {
        if matches!(which, Way::Control | Way::All) {
            self.to_postgres.set(2 * member, mode);
        }
        if matches!(which, Way::Claims | Way::All) {
            self.to_postgres.set(2 * member + 1, mode);
        }
    }

    /// Waits until so many members share all slots.
    pub(crate) async fn shared_by(&self, members: i64) {
        let query = "select count(distinct owner) from outflow.outbox, unnest(slots) as owner \
                     where owner in (select number from outflow.member)";
        let what = format!("{members} members to share the slots");
        let shared = eventually(LIMIT, &what, async || self.number(query).await == members).await;
        if let Err(late) = shared {
            panic!("{late}\n{}", self.last_words().await);
        }
    }

    /// Waits until a member says, from here on, that its control connection is lost.
    pub(crate) async fn loses_control(&self, member: usize) {
        let count = async || {
            let log = self.members[member].program.lock().await.log();
            log.matches("the control connection is lost").count()
        };
        let before = count().await;
        let loses = eventually(LIMIT, "a member to lose control", async || count().await > before);
        loses.await.expect("it says so");
    }

    /// How each member ended, if it has, and the end of its log.
    async fn last_words(&self) -> String {
        let mut words = String::new();
        for member in &self.members {
            let mut program = member.program.lock().await;
            let status = program.exit_status();
            let _ = writeln!(words, "{}: {status:?}\n{}", member.name, program.log_tail());
        }
        words
    }
}

/// Redis's answer to TIME, in ms.
pub(crate) fn time_ms(time: &Reply) -> u64 {
    let part = |part: &Reply| -> u64 {
        part.string().and_then(|text| text.parse().ok()).expect("a number")
    };
    match time.items() {
        [seconds, micros] => part(seconds) * 1_000 + part(micros) / 1_000,
        _ => panic!("no time: {time:?}"),
    }
}

/// Which of a member's connections to Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Control,
    Claims,
    All,
}

fn lanes(name: &str) -> [Label; 2] {
    let user = format!("user\0{name}\0").into_bytes();
    [vec![user.clone(), b"outflow control\0".to_vec()], vec![user]]
}
