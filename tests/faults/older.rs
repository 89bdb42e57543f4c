//! The ways in which Redis comes to an older state.

use std::path::PathBuf;

use fastrand::Rng;
use outflow_connect::redis::{Args, Reply};
use outflow_local::{Redis, eventually, redis_client};

use super::kind::Kind;
use super::proxy::{Mode, Proxy};
use super::stage::{LIMIT, Stage};

/// An older state, kept aside.
pub(crate) enum Older {
    /// All of its files, as they were.
    Files { at: PathBuf, is_old: bool },
    /// An RDB file.
    Rdb(PathBuf),
    /// A replica that hears nothing any more: it is truly behind.
    Replica { server: Redis, link: Proxy },
    /// No state.
    Empty,
}

impl Older {
    /// What `kind` needs, as it is now.
    pub(crate) async fn keep(stage: &Stage, kind: Kind, rng: &mut Rng) -> Self {
        let keeps = stage.layout().is_some();
        match kind {
            Kind::RedisRollback => {
                let (redis, at) = (stage.redis.lock().await, stage.path().join("copy.rdb"));
                redis.save().await.expect("an RDB file");
                std::fs::copy(redis.rdb(), &at).expect("a copy");
                Self::Rdb(at)
            }
            Kind::RedisFailoverBehind => {
                let (server, link) = replica(stage).await;
                link.set(0, Mode::Freeze);
                Self::Replica { server, link }
            }
            Kind::RedisFlush => Self::Empty,
            _ => {
                let at = stage.path().join("copy");
                // One that is still there from the last time.
                let is_old = keeps && at.exists() && rng.u32(0..3) == 0;
                if !is_old {
                    stage.redis.lock().await.copy_files(&at).expect("a copy");
                }
                Self::Files { at, is_old }
            }
        }
    }

    /// Brings it back. No member reaches Redis meanwhile. What it was, in words.
    pub(crate) async fn bring_back(self, stage: &Stage) -> &'static str {
        let mut redis = stage.redis.lock().await;
        match self {
            Self::Files { at, is_old } => {
                redis.kill().await.expect("its end");
                redis.put_back(&at).expect("a copy");
                redis.start_again().await.expect("a start");
                if is_old { "the copy of the time before" } else { "a copy" }
            }
            Self::Rdb(at) => {
                redis.kill().await.expect("its end");
                redis.put_back_rdb(&at).expect("a copy");
                redis.start_again().await.expect("a start");
                "an RDB file"
            }
            Self::Replica { server, link } => {
                redis.kill().await.expect("its end");
                drop(link);
                ask(&server, "REPLICAOF", &["NO", "ONE"]).await;
                stage.lead_to(&server);
                *redis = server;
                "a replica"
            }
            Self::Empty => {
                stage.command("FLUSHALL", &[]).await.expect("a flush");
                "a state"
            }
        }
    }
}

/// A replica in step, and what it is connected by.
async fn replica(stage: &Stage) -> (Redis, Proxy) {
    let server = stage.another_redis().await;
    let primary = stage.redis.lock().await.port();
    // Each connection fits a label without a text.
    let link = Proxy::start(primary, vec![Vec::new()], &[]).await;
    ask(&server, "REPLICAOF", &["127.0.0.1", &link.port().to_string()]).await;
    // Its append-only file is written anew after it has been given everything.
    let lines = ["master_link_status:up", "aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"];
    let in_step = async || {
        let said = ask(&server, "INFO", &["everything"]).await.string().unwrap_or_default();
        lines.iter().all(|line| said.contains(line))
    };
    eventually(LIMIT, "a replica in step", in_step).await.expect("a replica");
    (server, link)
}

async fn ask(server: &Redis, command: &'static str, args: &[&str]) -> Reply {
    let client = redis_client(&server.url(), "faults");
    client.ready(LIMIT).await.expect("a connection");
    let all: Args = args.iter().copied().collect();
    let answer = client.call(command, all).await.expect("an answer");
    client.close().await;
    answer
}
