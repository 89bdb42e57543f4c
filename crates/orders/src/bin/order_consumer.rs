//! The order consumer as a program: options, wiring, exit code.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use outflow_consumer::{Consumer, Ended, Health, Inbox, Metrics, Settings, SettingsBuilder};
use outflow_core::who;
use outflow_orders::limits::LimitOptions;
use outflow_orders::options::{self, BadOption, RedisOptions};
use outflow_orders::probes;
use outflow_orders::saga::{INBOX, Rules, Saga, Step};
use outflow_orders::schema::Schema;
use outflow_producer::tokio_postgres::Outbox;
use outflow_service::http::{self, Purpose};
use outflow_service::signals;
use outflow_service::telemetry::{Log, LogFormat};
use rust_decimal::Decimal;
use secrecy::SecretString;

/// Run one step of the order saga
///
/// Consumes events from Redis streams and applies the effect of each event once.
///
/// SIGUSR1 pauses the consumer: it finishes what it handles and reads nothing more. SIGUSR2 resumes
/// it.
#[derive(Debug, Parser)]
#[command(name = "order-consumer", version)]
struct Options {
    #[command(flatten)]
    redis: RedisOptions,
    /// Postgres URL: `postgres://user[:password]@host[:port]/database`
    #[arg(
        long,
        env = "ORDER_CONSUMER_POSTGRES_URL",
        hide_env_values = true,
        required_unless_present = "postgres_url_file"
    )]
    postgres_url: Option<SecretString>,
    /// File that contains the Postgres URL; it must not be world-readable
    #[arg(long, env = "ORDER_CONSUMER_POSTGRES_URL_FILE", conflicts_with = "postgres_url")]
    postgres_url_file: Option<PathBuf>,
    /// Step of the saga to run
    #[arg(long, env = "ORDER_CONSUMER_STEP", value_enum, default_value_t = Step::Inventory)]
    step: Step,
    /// Consumer group
    ///
    /// Default: the name of the step.
    #[arg(long, env = "ORDER_CONSUMER_GROUP", value_parser = NonEmptyStringValueParser::new())]
    group: Option<String>,
    /// Outbox table for the events that the step writes, in Outflow's default form
    #[arg(
        long,
        env = "ORDER_CONSUMER_OUTBOX_TABLE",
        value_parser = NonEmptyStringValueParser::new(),
        default_value = "public.outbox"
    )]
    outbox_table: String,
    /// Units on hand of a SKU that the inventory does not know yet
    #[arg(
        long,
        env = "ORDER_CONSUMER_NEW_SKU_ON_HAND",
        default_value_t = 1_000_000,
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    new_sku_on_hand: i64,
    /// Maximum amount that can be paid; a larger payment fails (a stand-in for a bank)
    #[arg(long, env = "ORDER_CONSUMER_PAYMENT_MAX", default_value = "100000")]
    payment_max: Decimal,
    /// Consumer name: unique in the group, and the same after a restart
    ///
    /// Default: the host name. Two consumers on one host need two names.
    #[arg(long, env = "ORDER_CONSUMER_CONSUMER", value_parser = NonEmptyStringValueParser::new())]
    consumer: Option<String>,
    /// Maximum number of attempts per entry
    #[arg(
        long,
        env = "ORDER_CONSUMER_ATTEMPTS_MAX",
        default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    attempts_max: u32,
    /// Pause before the second attempt; it doubles with each further attempt
    #[arg(
        long,
        env = "ORDER_CONSUMER_RETRY_DELAY",
        default_value = "200ms",
        value_parser = duration
    )]
    retry_delay: Duration,
    /// Time without a heartbeat after which other consumers take over a consumer's entries
    #[arg(long, env = "ORDER_CONSUMER_CLAIM_IDLE", default_value = "30s", value_parser = duration)]
    claim_idle: Duration,
    /// Maximum number of transactions at a time
    ///
    /// The consumer opens as many connections to Postgres.
    #[arg(
        long,
        env = "ORDER_CONSUMER_WORKERS",
        default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..=1000)
    )]
    workers: u16,
    /// Maximum number of entries per transaction, each with another key
    ///
    /// The consumer batches entries only while they arrive faster than it can handle them one by
    /// one. 1 disables batching.
    #[arg(
        long,
        env = "ORDER_CONSUMER_HANDLE_BATCH",
        default_value_t = 64,
        value_parser = clap::value_parser!(u16).range(1..=1000)
    )]
    handle_batch: u16,
    #[command(flatten)]
    limits: LimitOptions,
    /// Maximum number of entries kept in memory
    #[arg(
        long,
        env = "ORDER_CONSUMER_PREFETCH",
        default_value_t = 256,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    prefetch: u16,
    /// Maximum size of the entries kept in memory
    ///
    /// The process needs eight times as much memory, plus sixteen times the largest entry, plus 32
    /// MiB.
    #[arg(
        long,
        env = "ORDER_CONSUMER_PREFETCH_BYTES",
        default_value = "8MiB",
        value_parser = bytes
    )]
    prefetch_bytes: usize,
    /// Maximum size of an entry; a larger one is dead-lettered without being read
    #[arg(
        long,
        env = "ORDER_CONSUMER_ENTRY_BYTES_MAX",
        default_value = "8MiB",
        value_parser = bytes
    )]
    entry_bytes_max: usize,
    /// Timeout of one attempt
    ///
    /// Minimum: 12 s, because a statement may take 10 s. Keep it shorter than --claim-idle;
    /// otherwise another consumer may take over an entry during an attempt while Redis does not
    /// respond.
    #[arg(
        long,
        env = "ORDER_CONSUMER_ATTEMPT_TIMEOUT",
        default_value = "20s",
        value_parser = attempt_timeout
    )]
    attempt_timeout: Duration,
    /// Time that a stop waits for attempts in progress before it aborts them
    ///
    /// Servers that do not respond can delay the stop by another 10 s.
    #[arg(long, env = "ORDER_CONSUMER_STOP_GRACE", default_value = "10s", value_parser = duration)]
    stop_grace: Duration,
    /// Maximum number of entries per read
    #[arg(
        long,
        env = "ORDER_CONSUMER_BATCH",
        default_value_t = 64,
        value_parser = clap::value_parser!(u16).range(1..=1000)
    )]
    batch: u16,
    /// Time that the inbox remembers handled events
    ///
    /// Must be longer than an event can take to come back, from a retried dead letter or from a
    /// restored stream.
    #[arg(long, env = "ORDER_CONSUMER_INBOX_KEEP", default_value = "30d", value_parser = retention)]
    inbox_keep: Duration,
    /// Address that serves `/livez`, `/readyz` and `/metrics`
    #[arg(long, env = "ORDER_CONSUMER_LISTEN", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Log level (error, warn, info, debug, trace) or filter directives
    #[arg(long, env = "ORDER_CONSUMER_LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// Format of log lines
    #[arg(long, env = "ORDER_CONSUMER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    log_format: LogFormat,
}

fn main() -> ExitCode {
    let options: Options = outflow_service::options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return options::exit("order-consumer", None, Err(error.into())),
    };
    let code = runtime.block_on(program(options));
    // Not waiting for what cannot be broken off, such as the resolver of names.
    runtime.shutdown_background();
    code
}

async fn program(options: Options) -> ExitCode {
    match options::log(&options.log_level, options.log_format) {
        Ok(log) => options::exit("order-consumer", Some(&log), Box::pin(run(options, &log)).await),
        Err(bad) => options::exit("order-consumer", None, Err(bad.into())),
    }
}

async fn run(options: Options, log: &Log) -> Result<(), Box<dyn Error>> {
    let settings = settings(&options)?;
    let redis_url = options.redis.url()?;
    let postgres_url =
        options::secret("postgres-url", options.postgres_url, options.postgres_url_file)?;
    let pool = options::pool(&postgres_url, "order-consumer", usize::from(options.workers) + 1)?;
    let inbox = Inbox::new(INBOX, settings.group())?;
    let outbox = Outbox::new(&options.outbox_table)
        .map_err(|error| BadOption(format!("--outbox-table: {error}")))?;
    let rules =
        Rules { new_sku_on_hand: options.new_sku_on_hand, payment_max: options.payment_max };
    let saga = Saga::new(options.step, rules, pool.clone(), inbox.clone(), outbox);
    let registry = probes::registry();
    log.count_dropped("order_consumer_log_lines_dropped_total", &registry)?;
    let metrics = Metrics::new(&registry, &settings)?;
    let consumer =
        Consumer::open(redis_url, settings, saga).map_err(BadOption::from)?.observer(metrics);
    let schema = Schema::default();
    let router = probes(registry, &consumer.health(), &schema);
    let (stop, _signals) = signals::stop_token(log)?;
    let control = consumer.control();
    let _pauses = signals::pauses(
        move |is_paused| {
            if is_paused { control.pause() } else { control.resume() }
        },
    )?;
    let listener = http::listen(options.listen).await?;
    tracing::info!(address = %options.listen, "listening");
    let serving = async {
        let served = http::serve(listener, Purpose::Probes, router, stop.clone()).await;
        stop.cancel();
        served
    };
    let creating = async {
        let created = schema.create(&pool, &stop).await;
        if created.is_err() {
            stop.cancel();
        }
        created
    };
    let consuming = async {
        let ended = consumer.run(stop.clone()).await;
        stop.cancel();
        ended
    };
    let (served, created, (), ended) = tokio::join!(
        serving,
        creating,
        inbox.keep_clean(&pool, options.inbox_keep, &stop),
        consuming,
    );
    created?;
    served?;
    if let Ended::LoginRefused(failure) = ended {
        return Err(BadOption(format!("--redis-url: {failure}")).into());
    }
    tracing::info!("stopped");
    Ok(())
}

fn settings(options: &Options) -> Result<Settings, BadOption> {
    let consumer = options.consumer.clone().unwrap_or_else(who::host);
    let group = options.group.as_deref().unwrap_or(options.step.name());
    let sources = options.redis.sources(&options.step.streams());
    let mut sources = sources.into_iter();
    let first = sources.next().ok_or_else(|| BadOption("--stream: give one".to_owned()))?;
    let settings = sources.fold(Settings::builder(first, group, consumer), SettingsBuilder::stream);
    let settings = settings
        .workers(options.workers.into())
        .handle_batch(options.handle_batch.into())
        .prefetch(options.prefetch.into())
        .prefetch_bytes(options.prefetch_bytes)
        .entry_bytes_max(options.entry_bytes_max)
        .attempt_timeout(options.attempt_timeout)
        .stop_grace(options.stop_grace)
        .attempts_max(options.attempts_max)
        .retry_delay(options.retry_delay)
        .claim_idle(options.claim_idle)
        .batch(options.batch.into());
    Ok(options.limits.apply(settings, options.step)?.build()?)
}

/// Not so short that Redis, which counts milliseconds, would take it for none.
fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; expected such as 200ms or 30s"))?;
    if duration < Duration::from_millis(10) || duration > Duration::from_hours(24) {
        return Err("expected 10ms to 24h".to_owned());
    }
    Ok(duration)
}

/// Longer than the servers' own timeouts, which say better what is the matter.
fn attempt_timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration(text)?;
    if timeout < Duration::from_secs(12) {
        Err("expected 12s to 24h".to_owned())
    } else {
        Ok(timeout)
    }
}

fn bytes(text: &str) -> Result<usize, String> {
    let size: bytesize::ByteSize =
        text.parse().map_err(|error| format!("{error}; expected such as 16MiB"))?;
    match usize::try_from(size.as_u64()) {
        Ok(bytes) if (64 << 10..=4 << 30).contains(&bytes) => Ok(bytes),
        _ => Err("expected 64KiB to 4GiB".to_owned()),
    }
}

fn retention(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; expected such as 30d"))?;
    if duration < Duration::from_secs(1) {
        Err("expected at least 1s".to_owned())
    } else {
        Ok(duration)
    }
}

fn probes(registry: prometheus::Registry, health: &Health, schema: &Schema) -> Router {
    let (health, schema) = (health.clone(), schema.clone());
    probes::router(registry, move || {
        let mut causes = health.causes();
        // What Postgres said is in the log.
        let missing = "Postgres: the tables of schema orders are not there yet; the log says why";
        causes.extend(schema.missing().map(|_in_the_log| missing.to_owned()));
        Box::pin(std::future::ready(causes))
    })
}
