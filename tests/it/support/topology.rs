//! A stage whose Redis is another one: a cluster, or a master with replicas and sentinels.

use std::path::Path;

use outflow_connect::redis::Redis;
use outflow_local::{Error, redis_client};
use tempfile::TempDir;

use super::{LIMIT, Stage, outbox};

/// The stage, the servers that the relay appends to, and a client of them.
pub(crate) struct Topology<S> {
    pub(crate) stage: Stage,
    pub(crate) servers: S,
    pub(crate) redis: Redis,
    pub(crate) dir: TempDir,
}

impl<S> Topology<S> {
    /// Starts the servers by `start`; `stream` is the outbox's template.
    pub(crate) async fn over(
        stream: &str,
        start: impl AsyncFnOnce(&Path) -> Result<S, Error>,
        url: impl FnOnce(&S) -> String,
    ) -> Self {
        let sections = outbox("batch_rows = 20").replace("events.{aggregate_type}", stream);
        Self::sections(sections, start, url).await
    }

    /// The same with these outbox sections.
    pub(crate) async fn sections(
        sections: String,
        start: impl AsyncFnOnce(&Path) -> Result<S, Error>,
        url: impl FnOnce(&S) -> String,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (stage, servers) = tokio::join!(Stage::bare(&sections), start(dir.path()));
        let servers = servers.expect("servers");
        let url = url(&servers);
        let redis = connected(&url).await;
        stage.configure_with(&url, &sections);
        stage.migrate().await;
        Self { stage, servers, redis, dir }
    }
}

/// A client that has reached its server.
pub(crate) async fn connected(url: &str) -> Redis {
    let redis = redis_client(url, "test");
    redis.ready(LIMIT).await.expect("a connection");
    redis
}
