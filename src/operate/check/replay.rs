//! Whether Redis would keep its data over a restart. It replays its append-only file as the user
//! `default`, and when a transaction ends there, it leaves out each command that this user may not
//! run (redis/redis#14541): what scripts do is written there as transactions. That `default` may
//! not log in, or not run MULTI or EXEC, does no harm.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::finding::{Findings, advice, redis_line};
use outflow_connect::redis::{Args, Redis, Server};

const ANSWER_LIMIT: Duration = Duration::from_secs(2);
const LINE: &str = "ACL SETUSER default off resetpass ~* &* +@all";
/// What the scripts of relays and consumers write, on keys such as theirs.
const WRITTEN: [&[&str]; 7] = [
    &["XADD", STREAM, "*", "f", "v"],
    &["HSET", JOURNAL, "f", "v"],
    &["HDEL", JOURNAL, "f"],
    &["XACK", STREAM, "g", "0-1"],
    &["XDEL", STREAM, "0-1"],
    &["XCLAIM", STREAM, "g", "c", "0", "0-1"],
    &["XGROUP", "SETID", STREAM, "g", "0-1"],
];
const JOURNAL: &str = "outflow:journal:outflow-check";
const STREAM: &str = "events.outflow-check";
/// Never adds anything, because no entry may have this id; a user who may not add is told that
/// first.
const HARMLESS: &[&str] = &["XADD", STREAM, "0-0", "f", "v"];

/// The commands that `default` may not run.
type Lost = Vec<&'static str>;

/// `aof`: the append-only file is on.
pub(super) async fn check(
    redis: &Redis,
    about: &str,
    server: &Server,
    aof: bool,
    findings: &mut Findings,
) {
    let lost = match asked(redis, server.user()).await {
        None => asked_as_default(server).await,
        known => known,
    };
    match lost {
        Some(lost) if lost.is_empty() => {
            findings.ok(
                about,
                "the user default has the rights that a replay of the append-only file \
                    needs",
            );
        }
        Some(lost) => {
            let what = format!(
                "a restart with an append-only file loses what scripts wrote with {}, hence \
                    streams and journal: Redis replays \
                 the file as the user default, who may not run that; the line gives default its \
                 rights back and switches it \
                 off: clients that log in without a user need one of their own first",
                lost.join(", ")
            );
            if aof {
                findings.refused(about, what, redis_line(LINE));
            } else {
                findings.warning(about, what, redis_line(LINE));
            }
        }
        None if aof => unknown(redis, about, server.user(), findings).await,
        None => {}
    }
}

/// Streams that are gone after the next restart are too much to keep silent about.
async fn unknown(redis: &Redis, about: &str, user: &str, findings: &mut Findings) {
    let cannot = "cannot find out whether a restart keeps streams and journal: Redis replays its \
        append-only file as the user default, and";
    if findings.keeps.lacks_acl {
        let what = format!("{cannot} the server does not have ACL");
        let remedy = "leave the user default its rights where the users of this server are managed";
        return findings.warning(about, what, advice(remedy));
    }
    let what = format!("{cannot} user {user} may not read the rights of default");
    let info =
        redis.call("INFO", Args::from(["server"])).await.ok().and_then(|reply| reply.string());
    let remedy = if info.is_some_and(|info| info.contains("redis_version:6.")) {
        advice(
            "check as an administrator that ACL GETUSER default has +@all and all keys, or run \
                `outflow check` as one",
        )
    } else {
        redis_line(format!("ACL SETUSER {user} +acl|dryrun"))
    };
    findings.warning(about, what, remedy);
}

/// If our user may ask, or is `default` itself.
async fn asked(redis: &Redis, user: &str) -> Option<Lost> {
    if let Some(lost) = dry_run(redis).await {
        return Some(lost);
    }
    // Redis 6 cannot try a command out: all rights are enough, what fewer mean is not told apart.
    if let Ok(rights) = redis.call("ACL", Args::from(["GETUSER", "default"])).await {
        let value = |name: &str| {
            let at =
                rights.items().iter().position(|item| item.string().as_deref() == Some(name))?;
            rights.items().get(at + 1)
        };
        let keys = value("keys").and_then(|keys| keys.items().first().unwrap_or(keys).string());
        return match (value("commands")?.string()?.as_str(), keys.as_deref()) {
            ("+@all", Some("*" | "~*")) => Some(Lost::new()),
            ("-@all", _) => Some(WRITTEN.iter().map(|command| command[0]).collect()),
            _ => None,
        };
    }
    if user != "default" {
        return None;
    }
    let mut args = Args::from([include_str!("acl.lua"), "0"]);
    for word in questions() {
        args.text(word);
    }
    read(&redis.call("EVAL", args).await.ok()?.string()?)
}

async fn dry_run(redis: &Redis) -> Option<Lost> {
    let mut lost = Lost::new();
    for command in WRITTEN {
        let words: Args = ["DRYRUN", "default"].iter().chain(command).copied().collect();
        if redis.call("ACL", words).await.ok()?.string().as_deref() != Some("OK") {
            lost.push(command[0]);
        }
    }
    Some(lost)
}

/// The arguments of `acl.lua`.
fn questions() -> impl Iterator<Item = String> {
    WRITTEN.iter().flat_map(|words| {
        std::iter::once(words.len().to_string()).chain(words.iter().map(|&word| word.to_owned()))
    })
}

/// The answer of `acl.lua`.
fn read(answer: &str) -> Option<Lost> {
    let is_answer =
        answer.len() == WRITTEN.len() && answer.bytes().all(|bit| matches!(bit, b'0' | b'1'));
    let lost = || {
        WRITTEN
            .iter()
            .zip(answer.bytes())
            .filter(|(_, bit)| *bit == b'0')
            .map(|(words, _)| words[0])
            .collect()
    };
    is_answer.then(lost)
}

/// Without a right of our own, if `default` needs no password and the connection no TLS.
async fn asked_as_default(server: &Server) -> Option<Lost> {
    if server.tls().is_some() {
        return None;
    }
    let (host, port) = server.host();
    let ask = async {
        let mut connection = BufReader::new(TcpStream::connect((host, port)).await.ok()?);
        let script: Vec<String> = ["EVAL", include_str!("acl.lua"), "0"]
            .into_iter()
            .map(str::to_owned)
            .chain(questions())
            .collect();
        let answer = answered(&mut connection, &script).await?;
        if !answer.starts_with("-NOPERM") && answer != "?" {
            return read(&answer);
        }
        let harmless: Vec<String> = HARMLESS.iter().map(|&word| word.to_owned()).collect();
        let refused = answered(&mut connection, &harmless).await?.starts_with("-NOPERM");
        // That it may add to a stream does not say that it may write the journal.
        refused.then(|| vec![HARMLESS[0]])
    };
    timeout(ANSWER_LIMIT, ask).await.ok()?
}

/// A line: an error with its sign, or the text.
async fn answered(connection: &mut BufReader<TcpStream>, words: &[String]) -> Option<String> {
    let command = words.iter().fold(format!("*{}\r\n", words.len()), |text, word| {
        text + &format!("${}\r\n{word}\r\n", word.len())
    });
    connection.write_all(command.as_bytes()).await.ok()?;
    let mut line = String::new();
    connection.read_line(&mut line).await.ok()?;
    if line.starts_with('$') && !line.starts_with("$-1") {
        line.clear();
        connection.read_line(&mut line).await.ok()?;
    }
    Some(line.trim_end().to_owned())
}
