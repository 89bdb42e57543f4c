//! The servers and programs that the demo runs, how they are started, watched and stopped.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::board::say;
use super::shop::http;
use super::{GROUP, STREAM};
use crate::local::{Error, Postgres, Program, Redis, binary, free_port};

const MIGRATE_LIMIT: Duration = Duration::from_mins(1);
const READY_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Everything that runs. The fields are dropped from the first to the last: programs before the servers they use.
pub(super) struct Stack {
    /// In the order of stopping: who writes first, who reads last.
    programs: Vec<Program>,
    redis: Redis,
    postgres: Postgres,
    /// The API's address, without a path.
    pub(super) api: String,
}

impl Stack {
    /// Starts all of it in `dir`, and says what is where.
    pub(super) async fn start(dir: &Path) -> Result<Self, Error> {
        say(format_args!("directory       {}", dir.display()));
        let (postgres, redis) = tokio::try_join!(Postgres::start(dir), Redis::start(dir, &[]))?;
        say(format_args!("Postgres        {}", postgres.url()));
        say(format_args!("Redis           {}", redis.url()));
        let admin = address()?;
        let config = write_config(dir, &postgres, &redis, &admin)?;
        migrate(dir, &config).await?;
        say("migrated        public.outbox and the schema outflow");
        let mut stack = Self { programs: Vec::new(), redis, postgres, api: format!("http://{}", address()?) };
        stack.start_programs(dir, &config, &admin).await?;
        Ok(stack)
    }

    async fn start_programs(&mut self, dir: &Path, config: &str, admin: &str) -> Result<(), Error> {
        let (postgres, redis, consumer) = (self.postgres.url(), self.redis.url(), address()?);
        let api = self.api.trim_start_matches("http://").to_owned();
        let api_args = ["--listen", &api, "--postgres-url", &postgres, "--log-format", "text"];
        let mut consumer_args = vec!["--redis-url", &redis, "--postgres-url", &postgres, "--stream", STREAM];
        consumer_args.extend(["--group", GROUP, "--consumer", "demo-1", "--listen", &consumer, "--log-format", "text"]);
        self.add(dir, "order-api", &api_args, &api).await?;
        say(format_args!("order-api       http://{api}/orders"));
        self.add(dir, "outflow", &["run", "--config", config], admin).await?;
        say(format_args!("outflow         http://{admin}/metrics"));
        self.add(dir, "order-consumer", &consumer_args, &consumer).await?;
        say(format_args!("order-consumer  http://{consumer}/metrics"));
        Ok(())
    }

    /// Starts one program and waits until its `/readyz` says 200.
    async fn add(&mut self, dir: &Path, name: &str, args: &[&str], listen: &str) -> Result<(), Error> {
        let mut program = Program::start(name, &binary(name)?, args, &[], dir)?;
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
        program.until_ready(READY_LIMIT, is_ready).await.map_err(|error| blame(error, &said))?;
        self.programs.push(program);
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
            "try             psql {} -c 'table orders.inventory'\n                \
             redis-cli -p {} xrevrange {STREAM} + - count 1",
            self.postgres.url(),
            self.redis.port()
        )
    }

    /// Fails when a program has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        for program in &mut self.programs {
            if let Some(status) = program.exit_status() {
                return Err(program.failure(&format!("{} ended: {status}", program.name())));
            }
        }
        Ok(())
    }

    /// Asks the programs to stop, one after the other, so that each finishes what the one before it wrote. The servers
    /// keep running. Every program is stopped whatever happens to the others; the first error is returned.
    pub(super) async fn stop_programs(&mut self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for program in &mut self.programs {
            program.terminate();
            let stopped = match program.wait(STOP_LIMIT).await {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => Err(program.failure(&format!("{} ended with {status}", program.name()))),
                Err(error) => Err(error),
            };
            outcome = outcome.and(stopped);
        }
        outcome
    }

    /// The last lines of every program's log.
    pub(super) fn log_tails(&self) -> String {
        let mut tails = String::new();
        for program in &self.programs {
            // Writing to a String cannot fail.
            let _ = writeln!(tails, "--- log of {}\n{}", program.name(), program.log_tail());
        }
        tails
    }
}

/// Adds what `/readyz` said last: the log need not have it.
fn blame(error: Error, said: &str) -> Error {
    match error {
        Error::Failed { what, log } => Error::Failed { what: format!("{what} (/readyz said: {said})"), log },
        other => other,
    }
}

fn address() -> Result<String, Error> {
    Ok(format!("127.0.0.1:{}", free_port()?))
}

fn write_config(dir: &Path, postgres: &Postgres, redis: &Redis, admin: &str) -> Result<String, Error> {
    let file = dir.join("outflow.toml");
    let text = format!(
        "[postgres]\nurl = \"{}\"\n\n[redis]\nurl = \"{}\"\n\n[admin]\nlisten = \"{admin}\"\n\n\
         [log]\nformat = \"text\"\n\n\
         [[outbox]]\nname = \"orders\"\ntable = \"public.outbox\"\nstream = \"events.{{aggregate_type}}\"\n",
        postgres.url(),
        redis.url(),
    );
    std::fs::write(&file, text).map_err(Error::io("writing", &file))?;
    Ok(file.display().to_string())
}

async fn migrate(dir: &Path, config: &str) -> Result<(), Error> {
    let args = ["migrate", "--config", config];
    let mut migrate = Program::start("outflow-migrate", &binary("outflow")?, &args, &[], dir)?;
    let status = migrate.wait(MIGRATE_LIMIT).await?;
    if status.success() { Ok(()) } else { Err(migrate.failure(&format!("outflow migrate ended with {status}"))) }
}
