//! The configuration in force, with the console's own addresses.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::Config;
use outflow_core::fault::Fault;

/// Follows every reload.
pub(super) struct InForce {
    given: watch::Receiver<Arc<Config>>,
    made: Mutex<Made>,
}

struct Made {
    of: Arc<Config>,
    config: Arc<Config>,
}

impl InForce {
    /// # Errors
    /// An address of its own cannot be read.
    pub(super) fn new(given: watch::Receiver<Arc<Config>>) -> Result<Self, Fault> {
        let of = Arc::clone(&given.borrow());
        let config = own(&of)?;
        Ok(Self { given, made: Mutex::new(Made { of, config }) })
    }

    /// As the relay has it: with its addresses.
    pub(super) fn given(&self) -> Arc<Config> {
        Arc::clone(&self.given.borrow())
    }

    /// The same `Arc` as long as nothing has changed.
    pub(super) fn now(&self) -> Arc<Config> {
        let given = Arc::clone(&self.given.borrow());
        let mut made = self.made.lock();
        if !Arc::ptr_eq(&made.of, &given) {
            made.config = own(&given).unwrap_or_else(|fault| {
                tracing::error!(
                    reason = %fault,
                    "rejected the console's new addresses: the old ones stay in effect"
                );
                let known = &made.config;
                let (postgres, control) = (known.postgres.clone(), known.control.clone());
                let redis = known.redis.clone();
                Arc::new(Config { postgres, control, redis, ..Config::clone(&given) })
            });
            made.of = given;
        }
        Arc::clone(&made.config)
    }
}

fn own(config: &Arc<Config>) -> Result<Arc<Config>, Fault> {
    let (postgres, redis) = config.console.servers()?;
    if postgres.is_none() && redis.is_none() {
        return Ok(Arc::clone(config));
    }
    let given = Config::clone(config);
    // The way around the relay's pooler says nothing of the console's own address.
    let control = given.control.clone().filter(|_| postgres.is_none());
    let (postgres, redis) =
        (postgres.unwrap_or(given.postgres.clone()), redis.unwrap_or(given.redis.clone()));
    Ok(Arc::new(Config { postgres, control, redis, ..given }))
}
