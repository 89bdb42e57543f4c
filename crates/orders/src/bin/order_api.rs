//! The order API as a program: options, wiring, exit code.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use outflow_orders::options::{self, BadOption};
use outflow_orders::schema::Schema;
use outflow_orders::store::Store;
use outflow_orders::{api, idempotency, probes};
use outflow_producer::tokio_postgres::Outbox;
use outflow_service::http::{self, Purpose};
use outflow_service::signals;
use outflow_service::telemetry::{Log, LogFormat};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

/// Accept orders over HTTP
///
/// Writes each order and its event in one Postgres transaction.
#[derive(Debug, Parser)]
#[command(name = "order-api", version)]
struct Options {
    /// Address to listen on
    #[arg(long, env = "ORDER_API_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Address that serves `/livez`, `/readyz` and `/metrics`
    ///
    /// Default: the same address as the orders.
    #[arg(long, env = "ORDER_API_ADMIN_LISTEN")]
    admin_listen: Option<SocketAddr>,
    /// Postgres URL: `postgres://user[:password]@host[:port]/database`
    #[arg(
        long,
        env = "ORDER_API_POSTGRES_URL",
        hide_env_values = true,
        required_unless_present = "postgres_url_file"
    )]
    postgres_url: Option<SecretString>,
    /// File that contains the Postgres URL; it must not be world-readable
    #[arg(long, env = "ORDER_API_POSTGRES_URL_FILE", conflicts_with = "postgres_url")]
    postgres_url_file: Option<PathBuf>,
    /// Maximum number of connections to Postgres
    #[arg(
        long,
        env = "ORDER_API_POSTGRES_CONNECTIONS",
        default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=1000)
    )]
    postgres_connections: u16,
    /// Maximum number of concurrent requests; more are rejected with 503
    ///
    /// The limit is lower if the process may open only few files.
    #[arg(
        long,
        env = "ORDER_API_REQUESTS_MAX",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    requests_max: u16,
    /// Time that an Idempotency-Key is remembered
    #[arg(
        long,
        env = "ORDER_API_IDEMPOTENCY_KEEP",
        default_value = "24h",
        value_parser = humantime::parse_duration
    )]
    idempotency_keep: Duration,
    /// Outbox table, in Outflow's default form
    #[arg(
        long,
        env = "ORDER_API_OUTBOX_TABLE",
        value_parser = NonEmptyStringValueParser::new(),
        default_value = "public.outbox"
    )]
    outbox_table: String,
    /// Log level (error, warn, info, debug, trace) or filter directives
    #[arg(long, env = "ORDER_API_LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// Format of log lines
    #[arg(long, env = "ORDER_API_LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    log_format: LogFormat,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options: Options = outflow_service::options::parse();
    match options::log(&options.log_level, options.log_format) {
        Ok(log) => options::exit("order-api", Some(&log), Box::pin(run(options, &log)).await),
        Err(bad) => options::exit("order-api", None, Err(bad.into())),
    }
}

async fn run(options: Options, log: &Log) -> Result<(), Box<dyn Error>> {
    let url = options::secret("postgres-url", options.postgres_url, options.postgres_url_file)?;
    let pool = options::pool(&url, "order-api", options.postgres_connections.into())?;
    let outbox = Outbox::new(&options.outbox_table)
        .map_err(|error| BadOption(format!("--outbox-table: {error}")))?;
    let (stop, _signals) = signals::stop_token(log)?;
    let schema = Schema::default();
    let store = Store::new(pool.clone(), outbox, options.idempotency_keep);
    let registry = probes::registry();
    log.count_dropped("order_api_log_lines_dropped_total", &registry)?;
    let probes = api::probes(store.clone(), schema.clone(), registry.clone(), stop.clone());
    let (beside, admin) = match options.admin_listen {
        None => (Some(probes), None),
        Some(address) => (None, Some((http::listen(address).await?, probes))),
    };
    let requests_max = Purpose::Requests.requests_max().min(options.requests_max.into());
    let router = api::router(store, &registry, requests_max, beside, stop.clone())?;
    let listener = http::listen(options.listen).await?;
    tracing::info!(address = %options.listen, "listening");
    // Probes are answered until the last request is.
    let served_all = CancellationToken::new();
    let serving = async {
        let served = http::serve(listener, Purpose::Requests, router, stop.clone()).await;
        stop.cancel();
        served_all.cancel();
        served
    };
    let probing = async {
        if let Some((listener, probes)) = admin {
            // Cut-off probes are no error.
            let _ = http::serve(listener, Purpose::Probes, probes, served_all.clone()).await;
        }
    };
    let creating = async {
        let created = schema.create(&pool, &stop).await;
        if created.is_err() {
            stop.cancel();
        }
        created
    };
    let (served, (), created, ()) = tokio::join!(
        serving,
        probing,
        creating,
        idempotency::keep_clean(&pool, options.idempotency_keep, &stop),
    );
    created?;
    served?;
    tracing::info!("stopped");
    Ok(())
}
