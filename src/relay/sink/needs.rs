//! What a server must have for an append, beside the commands of its script: a version that is new
//! enough, and scripts. Hosted servers take commands away or rename them, and Valkey can be started
//! without Lua.

use super::redis_version;
use outflow_connect::redis::{Args, Failure, Redis};
use outflow_core::fault::{Fault, FaultKind};

/// What to do about a server that runs no scripts.
pub const SCRIPTS: &str = "start the server with its Lua engine (MODULE LIST has it), and with \
    EVAL and EVALSHA under their own names";
/// What to do about one that cannot wait for its replicas.
pub const REPLICAS: &str = "set redis.wait_replicas to 0, or use a server that has WAIT and CLIENT \
    under their own names";
/// The commands of an append that waits for replicas, with words that do nothing.
pub const OF_REPLICAS: [(&str, &[&str]); 2] = [("WAIT", &["0", "1"]), ("CLIENT", &["GETNAME"])];
/// The name of no script.
const NOBODYS: &str = "0000000000000000000000000000000000000000";

/// Runs a script, by its source and by a name. A user who may not is another matter.
///
/// # Errors
/// What a server answered that runs none: [`Failure::Refused`] if it has no such command.
pub async fn runs_scripts(redis: &Redis) -> Result<(), Failure> {
    let answers = [
        redis.call("EVAL", Args::from(["return 1", "0"])).await.map(|reply| reply.int() == Some(1)),
        redis.call("EVALSHA", Args::from([NOBODYS, "0"])).await.map(|_ran| false),
    ];
    for answer in answers {
        match answer {
            Err(failure) if failure.code() == Some("ERR") => return Err(failure),
            Ok(false) => {
                let what = "what answers is no Redis: it did not run the script `return 1`";
                return Err(Failure::Unknown(what.to_owned()));
            }
            Ok(true) | Err(_) => {}
        }
    }
    Ok(())
}

/// Asks for what an append needs that waits for replicas.
///
/// # Errors
/// What a server answered that does not have it.
pub async fn waits_for_replicas(redis: &Redis) -> Result<(), Failure> {
    for (command, words) in OF_REPLICAS {
        match redis.call(command, words.iter().copied().collect()).await {
            Err(failure) if failure.is_unknown_command() => return Err(failure),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Whether appends can work on this server at all. `tag`: of the journal, on a cluster. Nothing
/// that is asked needs a right: who lacks one may be given it while the relay waits, but no server
/// learns a command while it runs.
///
/// # Errors
/// Its version is too old, or which command it does not have.
pub async fn are_met(redis: &Redis, tag: &str, wait_replicas: usize) -> Result<(), Fault> {
    if let Some(fault) = redis_version::too_old(redis, tag).await {
        return Err(fault);
    }
    let lacks = |what: String, remedy: &str| Err(Fault::new(FaultKind::Unfit, what).remedy(remedy));
    if let Err(failure @ Failure::Refused(_)) = runs_scripts(redis).await {
        return lacks(scriptless(&failure), SCRIPTS);
    }
    if wait_replicas > 0
        && let Err(failure) = waits_for_replicas(redis).await
    {
        return lacks(waitless(&failure), REPLICAS);
    }
    Ok(())
}

/// What is so on a server that runs no scripts.
pub fn scriptless(failure: &Failure) -> String {
    format!("runs no scripts, so the relay cannot append anything: {failure}")
}

/// What is so on a server that cannot wait for its replicas.
pub fn waitless(failure: &Failure) -> String {
    format!("cannot wait for replicas (redis.wait_replicas): {failure}")
}
