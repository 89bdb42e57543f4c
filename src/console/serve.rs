//! Serving the console: the port, TLS, what is done beside the requests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::history::STEP;
use super::routes;
use super::state::Console;
use crate::config::{Certificate, Config};
use crate::observe::outboxes::Outboxes;
use outflow_connect::secret_file;
use outflow_connect::tls::{self, Names};
use outflow_core::fault::Fault;
use outflow_service::http::{self, Purpose, Wire};

/// As the configuration calls them.
const NAMES: Names =
    Names { authorities: "", certificate: "console.sslcert", key: "console.sslkey" };
/// Between two looks whether the certificate was renewed.
const RENEWAL: Duration = Duration::from_secs(30);

/// A console that is ready to be served.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    console: Console,
    certificate: Option<Arc<Shown>>,
}

/// Opens the port, reads the tokens and the certificate: what is wrong with them is a clear error
/// before anything else starts. `own`: the figures of the relay that it is a part of.
///
/// # Errors
/// The key of the configuration, and what to do.
pub async fn bind(
    config: watch::Receiver<Arc<Config>>,
    listen: SocketAddr,
    own: Option<Outboxes>,
) -> Result<Bound, Fault> {
    let now = Arc::clone(&config.borrow()).console.clone();
    now.may_listen(listen).map_err(|problem| Fault::from(problem.in_console()))?;
    let certificate = now.certificate.map(Shown::new).transpose()?.map(Arc::new);
    let console = Console::new(config, own, listen.port())?;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        Fault::failed(format!("console.listen: {listen}: {error}")).because(error)
    })?;
    Ok(Bound { listener, address: listen, console, certificate })
}

impl Bound {
    /// Where a browser finds it.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/", self.address)
    }

    /// Serves until `stop`, then waits for the actions under way, and for the steps of jobs.
    pub async fn serve(self, stop: CancellationToken) {
        tracing::info!(url = self.url(), "the console is listening");
        let Self { listener, console, certificate, .. } = self;
        let wire = certificate.as_ref().map_or(Wire::Plain, |shown| {
            let shown = Arc::clone(shown);
            Wire::Tls(Arc::new(move || shown.current()))
        });
        let routes = routes::all(console.clone());
        let serving = http::serve_over(listener, wire, Purpose::Console, routes, stop.clone());
        let stopping = async {
            stop.cancelled().await;
            console.jobs().stop();
        };
        tokio::select! {
            // Cut-off pages are no error.
            _ended = join(serving, stopping) => {}
            () = keep_house(&console, certificate.as_deref()) => {}
        }
        console.finished().await;
    }
}

async fn keep_house(console: &Console, certificate: Option<&Shown>) {
    let mut ticks = interval(STEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        console.keep_house().await;
        if let Some(certificate) = certificate {
            certificate.renew();
        }
    }
}

/// The certificate that is shown, and when its files were read.
struct Shown {
    files: Certificate,
    state: Mutex<Read>,
}

struct Read {
    config: Arc<ServerConfig>,
    looked: std::time::Instant,
    changed: Vec<Option<SystemTime>>,
}

impl Shown {
    fn new(files: Certificate) -> Result<Self, Fault> {
        let changed = changed(&files);
        let config = Arc::new(tls::server(&files.chain, &files.key, &NAMES)?);
        let state = Mutex::new(Read { config, looked: std::time::Instant::now(), changed });
        Ok(Self { files, state })
    }

    fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.state.lock().config)
    }

    /// Takes a renewed certificate. One that cannot be used changes nothing: it may be half
    /// written.
    fn renew(&self) {
        let mut state = self.state.lock();
        if state.looked.elapsed() < RENEWAL {
            return;
        }
        state.looked = std::time::Instant::now();
        let changed = changed(&self.files);
        if changed == state.changed {
            return;
        }
        match tls::server(&self.files.chain, &self.files.key, &NAMES) {
            Ok(config) => {
                (state.config, state.changed) = (Arc::new(config), changed);
                tracing::info!("the console shows a renewed certificate");
            }
            Err(fault) => tracing::warn!(
                reason = %fault,
                "the console's renewed certificate cannot be used: the old one is shown"
            ),
        }
    }
}

fn changed(files: &Certificate) -> Vec<Option<SystemTime>> {
    let of = |file: &PathBuf| std::fs::metadata(secret_file::resolve(file)).ok()?.modified().ok();
    vec![of(&files.chain), of(&files.key)]
}
