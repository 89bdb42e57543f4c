//! Looking for the dead letters of a stream.

use std::path::Path;
use std::time::Duration;

use super::args::WhichArgs;
use crate::config::Config;
use crate::operate::connect::redis_failed as failed;
use outflow_connect::redis::{self, Redis, Server};
use outflow_connect::secret_file;
use outflow_consumer::{DeadFilter, DeadLetter, DeadLetters};
use outflow_core::fault::Fault;
use outflow_service::terminal;

/// How long to wait for the connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Connects.
pub(super) async fn open(which: &WhichArgs, config: &Config) -> Result<DeadLetters, Fault> {
    let (server, name) = match &which.redis_url_file {
        Some(file) => (read(file)?, "--redis-url-file"),
        None => (config.redis.clone(), "redis.url"),
    };
    let redis = Redis::connect(&server, "outflow-dead-letters")
        .map_err(|error| Fault::from(error).at(name))?;
    let dead = DeadLetters::with_connection(redis, which.source());
    dead.ready(CONNECT_LIMIT).await.map_err(failed)?;
    Ok(dead)
}

fn read(file: &Path) -> Result<Server, Fault> {
    let url = secret_file::read(file).map_err(|fault| fault.at("--redis-url-file"))?;
    redis::server(&url).map_err(|error| Fault::from(error).at("--redis-url-file"))
}

/// The dead letters that are meant; each id must be there.
pub(super) async fn chosen(
    dead: &DeadLetters,
    which: &WhichArgs,
    filter: &DeadFilter,
) -> Result<Vec<DeadLetter>, Fault> {
    let letters = dead.list(filter).await.map_err(failed)?;
    let is_there = |id: &str| letters.iter().any(|letter| letter.id == id);
    let missing = which.ids.iter().map(ToString::to_string).filter(|id| !is_there(id));
    let missing: Vec<String> = missing.collect();
    if !missing.is_empty() {
        let what =
            format!("there is no such dead letter in {}: {}", dead.stream(), missing.join(", "));
        return Err(Fault::failed(what).remedy("`outflow stream dead list` lists them"));
    }
    if letters.is_empty() {
        let of_filter = if filter.is_empty() { "" } else { " that the filter chooses" };
        terminal::say(format_args!("outflow: no dead letters in {}{of_filter}", dead.stream()));
    }
    Ok(letters)
}
