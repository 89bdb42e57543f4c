//! Whether Redis would keep its data over a restart. It replays its append-only file as the user `default`, and drops each
//! transaction that this user may not run (redis/redis#14541): the relay's scripts are written there as transactions.

use std::time::Duration;

use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Findings, Level, redis_line};
use crate::redis::{Args, Redis};

const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// As a client without a password asks it, on one line.
const MAY_I: &str = "EVAL \"return redis.acl_check_cmd and tostring(redis.acl_check_cmd('XADD','outflow-check','*','f','v')) or 'true'\" 0\r\n";
const LINE: &str = "ACL SETUSER default off resetpass ~* &* +@all";

/// `aof`: the append-only file is on.
pub(super) async fn check(redis: &Redis, about: &str, url: &SecretString, aof: bool, findings: &mut Findings) {
    let may = match asked(redis).await {
        None => asked_as_default(url).await,
        known => known,
    };
    if may == Some(false) {
        let level = if aof { Level::Error } else { Level::Warning };
        let what = "a restart with an append-only file loses every stream and the journal, because Redis replays the file as \
            the user default, who may not write; the line gives default its rights back and switches it off: clients \
            that log in without a user need one of their own first";
        findings.add(level, about, what, Some(redis_line(LINE)));
    }
}

/// Whether `default` may write, if our user may ask; Redis 6 cannot try a command out.
async fn asked(redis: &Redis) -> Option<bool> {
    let tried = Args::from(["DRYRUN", "default", "XADD", "outflow-check", "*", "f", "v"]);
    if let Ok(reply) = redis.call("ACL", tried).await {
        return Some(reply.string().as_deref() == Some("OK"));
    }
    let user = redis.call("ACL", Args::from(["GETUSER", "default"])).await.ok()?;
    let at = user.items().iter().position(|item| item.string().as_deref() == Some("commands"))?;
    Some(user.items().get(at + 1)?.string()?.starts_with("+@all"))
}

/// The same without a right of our own, if `default` needs no password and the connection no TLS.
async fn asked_as_default(url: &SecretString) -> Option<bool> {
    if Redis::tls(url).ok()?.is_some() {
        return None;
    }
    let (host, port) = Redis::host(url)?;
    let ask = async {
        let mut connection = TcpStream::connect((host.as_str(), port)).await.ok()?;
        connection.write_all(MAY_I.as_bytes()).await.ok()?;
        let (mut connection, mut line) = (BufReader::new(connection), String::new());
        connection.read_line(&mut line).await.ok()?;
        if line.starts_with('$') {
            line.clear();
            connection.read_line(&mut line).await.ok()?;
        }
        Some(line)
    };
    let line = timeout(ANSWER_LIMIT, ask).await.ok()??;
    match line.trim_end() {
        "true" => Some(true),
        "false" => Some(false),
        refused if refused.starts_with("-NOPERM") => Some(false),
        _ => None,
    }
}
