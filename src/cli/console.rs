//! `outflow console`: the console as a process of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Problem, Source, load};
use crate::console;
use crate::observe::outboxes::Outboxes;
use outflow_core::fault::Fault;
use outflow_service::signals;
use outflow_service::telemetry::Log;

#[derive(Debug, Args)]
pub(super) struct ConsoleArgs {
    /// Address to listen on
    ///
    /// Default: `console.listen` of the configuration, or 127.0.0.1:9465.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Serves until SIGTERM or SIGINT; on SIGHUP it reads the configuration again.
pub(super) async fn run(
    args: ConsoleArgs,
    config: Config,
    source: Source,
    log: Log,
) -> Result<(), Fault> {
    let failed = |error: std::io::Error| Fault::failed(format!("signals: {error}"));
    let (stop, _stops) = signals::stop_token(&log).map_err(failed)?;
    let (mut hangups, _reloads) = signals::hangups().map_err(failed)?;
    for notice in &config.notices {
        tracing::warn!(remedy = notice.remedy, "{}", notice.what);
    }
    let listen = args.listen.unwrap_or_else(|| config.console.address());
    let in_force = watch::Sender::new(Arc::new(config));
    let bound = console::bind(in_force.subscribe(), listen, None).await?;
    let reloading = async {
        while hangups.recv().await.is_some() {
            reload(&source, listen, &in_force);
        }
    };
    tokio::select! {
        () = bound.serve(stop) => {}
        () = reloading => {}
    }
    Ok(())
}

/// A configuration that cannot be used changes nothing.
fn reload(source: &Source, listen: SocketAddr, in_force: &watch::Sender<Arc<Config>>) {
    let checked = load(source).and_then(|config| {
        config.console.may_listen(listen).map_err(Problem::in_console)?;
        Ok(config)
    });
    match checked {
        Ok(config) => {
            in_force.send_replace(Arc::new(config));
            tracing::info!("reloaded: the new configuration is in effect");
        }
        Err(problem) => tracing::error!(
            reason = %problem,
            "rejected the new configuration: the old one stays in effect"
        ),
    }
}

/// The console of a relay, if the configuration has one. Ends with `stop`.
pub(super) async fn beside_the_relay(
    in_force: &watch::Sender<Arc<Config>>,
    outboxes: &Outboxes,
    stop: CancellationToken,
) -> Result<Option<impl Future<Output = ()> + Send + use<>>, Fault> {
    let listen = in_force.borrow().console.listen;
    let Some(listen) = listen else { return Ok(None) };
    let bound = console::bind(in_force.subscribe(), listen, Some(outboxes.clone())).await?;
    Ok(Some(bound.serve(stop)))
}
