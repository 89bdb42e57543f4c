//! What a server tells of itself: `INFO`, and which commands it does not have. Hosted servers leave
//! things out, and so does an ACL.

use std::collections::HashMap;

use super::finding::{Findings, advice};
use super::keeps::Keeps;
use super::unreached::allow;
use outflow_connect::redis::{Args, Failure, Redis, Reply};

const ABOUT: &str = "redis";
/// Those that the check reads, for a user who may not ask for all.
const SECTIONS: [&str; 5] = ["server", "persistence", "memory", "replication", "cluster"];
/// What is not known without a field, and what it should be.
const TOPICS: [(&str, &str, &str); 5] = [
    ("redis_version", "its version", "version 6.2 or later"),
    ("role", "whether it is a primary", "a primary"),
    ("aof_enabled", "whether it keeps its data", "the append-only file on"),
    ("maxmemory", "its maxmemory", "enough memory for the streams"),
    ("maxmemory_policy", "its eviction policy", "maxmemory-policy noeviction or volatile-*"),
];

/// What `INFO` says.
pub(super) struct Info {
    fields: HashMap<String, String>,
    /// Why there is nothing, or not all.
    refusal: Option<Failure>,
}

impl Info {
    /// All of it, or else the sections that are told.
    pub(super) async fn of(redis: &Redis) -> Self {
        let mut info = Self { fields: HashMap::new(), refusal: None };
        match redis.call("INFO", Args::default()).await {
            Ok(reply) => info.take(&reply),
            Err(failure) => {
                let is_forbidden = failure.is_forbidden();
                info.refusal = Some(failure);
                let sections = SECTIONS.iter().filter(|_| is_forbidden);
                for section in sections {
                    if let Ok(reply) = redis.call("INFO", Args::from([*section])).await {
                        info.take(&reply);
                    }
                }
            }
        }
        info
    }

    fn take(&mut self, reply: &Reply) {
        let text = reply.string().unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.trim().split_once(':'));
        self.fields.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    /// A field; `None` if the server does not tell it.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// What is not told, in one finding: it may be as it should be.
    pub(super) fn tell_unseen(&self, user: &str, findings: &mut Findings) {
        let unseen = TOPICS.iter().filter(|(field, _, _)| self.get(field).is_none());
        let (what, should): (Vec<&str>, Vec<&str>) =
            unseen.map(|(_, what, should)| (*what, *should)).unzip();
        if what.is_empty() {
            return;
        }
        let because = self
            .refusal
            .as_ref()
            .map_or_else(|| "INFO leaves it out".to_owned(), ToString::to_string);
        let what = format!("the server does not tell {}: {because}", what.join(", "));
        let look = format!("look it up where the server is managed: {}", should.join(", "));
        let remedy = match &self.refusal {
            Some(refusal) => allow(refusal, user, &look),
            None => advice(look),
        };
        findings.warning(ABOUT, what, remedy);
    }
}

/// What the server is set to.
pub(super) enum Setting {
    /// This.
    Is(String),
    /// Our user may not ask, or the server does not know the setting.
    Untold,
    /// The server does not have `CONFIG`.
    NoCommand,
}

/// Asks for a setting.
pub(super) async fn setting(redis: &Redis, name: &str) -> Setting {
    match redis.call("CONFIG", Args::from(["GET", name])).await {
        Ok(reply) => {
            reply.items().get(1).and_then(Reply::string).map_or(Setting::Untold, Setting::Is)
        }
        Err(failure) if failure.is_unknown_command() => Setting::NoCommand,
        Err(_) => Setting::Untold,
    }
}

/// How the server keeps what is changed in it, and what can be changed in it at all.
pub(super) async fn keeps(redis: &Redis, info: &Info) -> Keeps {
    let acl_file = setting(redis, "aclfile").await;
    let whoami = redis.call("ACL", Args::from(["WHOAMI"])).await;
    let replicas = info.get("connected_slaves").is_some_and(|replicas| replicas != "0");
    Keeps {
        config_file: info.get("config_file").map(|file| !file.is_empty()),
        acl_file: match &acl_file {
            Setting::Is(file) => Some(!file.is_empty()),
            Setting::Untold | Setting::NoCommand => None,
        },
        is_one_of_some: replicas || info.get("cluster_enabled") == Some("1"),
        lacks_config: matches!(acl_file, Setting::NoCommand),
        lacks_acl: whoami.is_err_and(|failure| failure.is_unknown_command()),
    }
}
