//! The servers and programs that the demo runs, how they are started, watched and stopped.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::board::say;
use super::console::Console;
use super::http::http;
use super::{GROUP, STREAM};
use outflow_local::{Error, Outflow, Postgres, Program, Redis, binary, free_port};

const MIGRATE_LIMIT: Duration = Duration::from_mins(1);
const READY_LIMIT: Duration = Duration::from_mins(1);
/// Some of the orders are more than that.
const PAYMENT_MAX: &str = "120";
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Everything that runs. The fields are dropped from the first to the last: programs before the
/// servers they use.
pub(super) struct Stack {
    /// In the order of stopping: who writes first, who reads last.
    programs: Vec<Running>,
    dir: PathBuf,
    /// How many were killed on purpose.
    pub(super) killed: u32,
    redis: Redis,
    postgres: Postgres,
    /// The API's address, without a path.
    pub(super) api: String,
}

/// A program, and how it was started.
struct Running {
    program: Program,
    args: Vec<String>,
}

impl Running {
    fn start(name: &str, args: &[&str], dir: &Path) -> Result<Self, Error> {
        let program = Program::start(name, &binary(program_of(name))?, args, &[], dir)?;
        Ok(Self { program, args: args.iter().map(ToString::to_string).collect() })
    }
}

impl Stack {
    /// Starts all of it in `dir`, and says what is where.
    pub(super) async fn start(dir: &Path, orders: Option<u64>) -> Result<Self, Error> {
        say(format_args!("directory       {}", dir.display()));
        let (postgres, redis) = tokio::try_join!(Postgres::start(dir), Redis::start(dir, &[]))?;
        say(format_args!("Postgres        {}", postgres.url()));
        say(format_args!("Redis           {}", redis.url()));
        let admin = address()?;
        let outflow = Outflow::new(binary("outflow")?, dir);
        let console = Console::prepare(dir)?;
        let sections = sections(&admin) + &console.section();
        outflow.configure(&postgres.url(), &redis.url(), &sections)?;
        outflow.succeed("outflow-migrate", &["migrate"], MIGRATE_LIMIT).await?;
        say("migrated        public.outbox and the schema outflow");
        let (programs, api) = (Vec::new(), format!("http://{}", address()?));
        let mut stack = Self { programs, dir: dir.to_owned(), killed: 0, redis, postgres, api };
        let config = outflow.config().display().to_string();
        stack.start_programs(dir, &config, &admin, orders).await?;
        say(format_args!("console         {}", console.told()));
        Ok(stack)
    }

    async fn start_programs(
        &mut self,
        dir: &Path,
        config: &str,
        admin: &str,
        orders: Option<u64>,
    ) -> Result<(), Error> {
        let (postgres, redis) = (self.postgres.url(), self.redis.url());
        let api = self.api.trim_start_matches("http://").to_owned();
        let api_args = ["--listen", &api, "--postgres-url", &postgres, "--log-format", "text"];
        self.add(dir, "order-api", &api_args, &api).await?;
        say(format_args!("order-api       http://{api}/orders"));
        self.add(dir, "outflow", &["run", "--config", config], admin).await?;
        say(format_args!("outflow         http://{admin}/metrics"));
        // An order wants 4 pieces of 20 skus, so that a fifth of the orders is about what is wanted
        // of one: a little less than all of them get.
        let on_hand = orders.map_or(1_000_000, |orders| orders / 6 + 1).to_string();
        for step in [GROUP, "payment", "order"] {
            let consumer = address()?;
            let mut args = vec!["--redis-url", &redis, "--postgres-url", &postgres, "--step", step];
            args.extend(["--consumer", "demo-1", "--listen", &consumer, "--log-format", "text"]);
            args.extend(["--new-sku-on-hand", &on_hand, "--payment-max", PAYMENT_MAX]);
            self.add(dir, &format!("order-consumer-{step}"), &args, &consumer).await?;
            say(format_args!("order-consumer  http://{consumer}/metrics  ({step})"));
        }
        Ok(())
    }

    /// Kills one of the programs, whichever, and starts it again. Returns its name.
    pub(super) fn kill_one(&mut self) -> Result<String, Error> {
        let victim = fastrand::usize(..self.programs.len());
        let running = &mut self.programs[victim];
        running.program.kill();
        let args: Vec<&str> = running.args.iter().map(String::as_str).collect();
        *running = Running::start(running.program.name(), &args, &self.dir)?;
        self.killed += 1;
        Ok(running.program.name().to_owned())
    }

    /// Starts one program and waits until its `/readyz` says 200.
    async fn add(
        &mut self,
        dir: &Path,
        name: &str,
        args: &[&str],
        listen: &str,
    ) -> Result<(), Error> {
        let mut running = Running::start(name, args, dir)?;
        let (http, url) = (http(), format!("http://{listen}/readyz"));
        let mut said = String::from("nothing");
        let is_ready = async || match http.get(&url).send().await {
            Ok(answer) if answer.status().is_success() => true,
            Ok(answer) => {
                said = answer.text().await.unwrap_or_default();
                false
            }
            Err(_not_listening_yet) => false,
        };
        running
            .program
            .until_ready(READY_LIMIT, is_ready)
            .await
            .map_err(|error| blame(error, &said))?;
        self.programs.push(running);
        Ok(())
    }

    pub(super) fn postgres_url(&self) -> String {
        self.postgres.url()
    }

    pub(super) fn redis_url(&self) -> String {
        self.redis.url()
    }

    /// What a curious person can try in another terminal.
    pub(super) fn hints(&self) -> String {
        format!(
            "try             psql {} -c 'select status, count(*) from orders.orders group by 1'\n\
\x20               \
             redis-cli -p {} xrevrange {STREAM} + - count 1",
            self.postgres.url(),
            self.redis.port()
        )
    }

    /// Fails when a program has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        for Running { program, .. } in &mut self.programs {
            if let Some(status) = program.exit_status() {
                return Err(program.failure(&format!("{} ended: {status}", program.name())));
            }
        }
        Ok(())
    }

    /// Asks the programs to stop, one after the other, so that each finishes what the one before it
    /// wrote. The servers keep running. Every program is stopped whatever happens to the others;
    /// the first error is returned.
    pub(super) async fn stop_programs(&mut self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for Running { program, .. } in &mut self.programs {
            program.terminate();
            let stopped = match program.wait(STOP_LIMIT).await {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => {
                    Err(program.failure(&format!("{} ended with {status}", program.name())))
                }
                Err(error) => Err(error),
            };
            outcome = outcome.and(stopped);
        }
        outcome
    }

    /// The last lines of every program's log.
    pub(super) fn log_tails(&self) -> String {
        let mut tails = String::new();
        for Running { program, .. } in &self.programs {
            // Writing to a String cannot fail.
            let _ = writeln!(tails, "--- log of {}\n{}", program.name(), program.log_tail());
        }
        tails
    }
}

/// The program that a name stands for: `order-consumer-payment` is an order-consumer.
fn program_of(name: &str) -> &str {
    if name.starts_with("order-consumer") { "order-consumer" } else { name }
}

/// Adds what `/readyz` said last: the log need not have it.
fn blame(error: Error, said: &str) -> Error {
    match error {
        Error::Failed { what, log } => {
            Error::Failed { what: format!("{what} (/readyz said: {said})"), log }
        }
        other => other,
    }
}

fn address() -> Result<String, Error> {
    Ok(format!("127.0.0.1:{}", free_port()?))
}

fn sections(admin: &str) -> String {
    format!(
        "[admin]\nlisten = \"{admin}\"\n[log]\nformat = \"text\"\n[[outbox]]\nname = \"orders\"\n\
         table = \"public.outbox\"\nstream = \"events.{{aggregate_type}}\"\n"
    )
}
