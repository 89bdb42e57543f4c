//! Pools of connections with every limit set, each of which sets what its sessions rely on.

use std::sync::Arc;

use deadpool_postgres::{Connect, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod};
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config};

use super::{CONNECT_TIMEOUT, POOLED, Server, UNPOOLED, WAIT_TIMEOUT, session, shares_sessions};

/// A pool of `size` connections, each of which runs [`SESSION`](super::SESSION) and `own` (more
/// `set` statements) when it is opened. Connects when first used.
pub fn pool(server: Server, size: usize, own: &str) -> Pool {
    let settings: Arc<str> = session(own).into();
    let prepare = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
        let settings = Arc::clone(&settings);
        Box::pin(async move { client.batch_execute(&settings).await.map_err(HookError::Backend) })
    });
    pool_with(server, size, prepare)
}

/// Like [`pool`], with nothing set in its sessions: a transaction pooler lends them.
pub fn bare_pool(server: Server, size: usize) -> Pool {
    pool_with(server, size, Hook::sync_fn(|_, _| Ok(())))
}

/// Like [`pool`], but first verifies that no transaction pooler shares its sessions, because
/// settings would leak into the sessions of other clients. If one does, every connection is
/// refused.
pub fn pool_of_own_sessions(server: Server, size: usize, own: &str) -> Pool {
    let settings: Arc<str> = session(own).into();
    let (is_direct, to) = (Arc::new(OnceCell::new()), server.clone());
    let prepare = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
        let (is_direct, to) = (Arc::clone(&is_direct), to.clone());
        let settings = Arc::clone(&settings);
        Box::pin(async move {
            let refused = |reason: String| HookError::Message(reason.into());
            let make_sure = async || match shares_sessions(&to, client).await {
                Ok(false) => Ok(()),
                Ok(true) => Err(refused(format!("{POOLED}; {UNPOOLED}"))),
                Err(reason) => Err(refused(reason)),
            };
            is_direct.get_or_try_init(make_sure).await?;
            client.batch_execute(&settings).await.map_err(HookError::Backend)
        })
    });
    pool_with(server, size, prepare)
}

fn pool_with(server: Server, size: usize, prepare: Hook) -> Pool {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let limit = server.connect_timeout();
    let manager = Manager::from_connect(server.config.clone(), server, recycling);
    Pool::builder(manager)
        .max_size(size)
        .runtime(deadpool_postgres::Runtime::Tokio1)
        .wait_timeout(Some(WAIT_TIMEOUT))
        .create_timeout(Some(limit))
        .recycle_timeout(Some(CONNECT_TIMEOUT))
        .post_create(prepare)
        .build()
        .expect("a runtime is given, so that the timeouts are allowed")
}

/// As [`Server::connect`], for a pool.
impl Connect for Server {
    fn connect(
        &self,
        _: &Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        Box::pin(async move {
            let (client, connection) = Server::connect(self).await?;
            // Ends with the client.
            #[expect(clippy::disallowed_methods, reason = "the pool aborts it with the client")]
            let driver = tokio::spawn(async move { drop(connection.await) });
            Ok((client, driver))
        })
    }
}
