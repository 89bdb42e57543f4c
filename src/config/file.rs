//! The configuration as the user types it: one field per key, not validated yet.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use secrecy::SecretString;
use serde::Deserialize;

use super::console::Typed as Console;
use super::percent::Percent;
use crate::relay::encode::Format;
use crate::relay::options::{KeepLayout, OnLoss, TrimWhen};
use outflow_service::telemetry::LogFormat;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(with = "humantime_serde")]
    pub(super) shutdown_grace: Duration,
    pub(super) postgres: Postgres,
    pub(super) redis: Redis,
    pub(super) admin: Admin,
    pub(super) console: Console,
    pub(super) log: Log,
    pub(super) tracing: Tracing,
    pub(super) outbox: Vec<Outbox>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Postgres {
    pub(super) url: SecretString,
    pub(super) url_file: Option<PathBuf>,
    pub(super) control_url: SecretString,
    pub(super) control_url_file: Option<PathBuf>,
    pub(super) sslmode: String,
    pub(super) sslrootcert: String,
    pub(super) sslcert: String,
    pub(super) sslkey: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Redis {
    pub(super) url: SecretString,
    pub(super) url_file: Option<PathBuf>,
    pub(super) ssl_ca_certs: String,
    pub(super) ssl_certfile: String,
    pub(super) ssl_keyfile: String,
    pub(super) wait_replicas: usize,
    pub(super) memory_pause: Percent,
    pub(super) memory_resume: Percent,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    pub(super) listen: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) level: String,
    pub(super) format: LogFormat,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tracing {
    pub(super) endpoint: String,
}

/// Every key may be missing: the example's outbox fills the gaps.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outbox {
    pub(super) name: Option<String>,
    pub(super) table: Option<String>,
    pub(super) stream: Option<String>,
    pub(super) format: Option<Format>,
    pub(super) batch_rows: Option<usize>,
    pub(super) batch_bytes: Option<ByteSize>,
    pub(super) in_flight: Option<usize>,
    #[serde(default, with = "humantime_serde::option")]
    pub(super) poll_interval: Option<Duration>,
    pub(super) notify: Option<bool>,
    #[serde(default, with = "humantime_serde::option")]
    pub(super) linger: Option<Duration>,
    #[serde(default, with = "humantime_serde::option")]
    pub(super) park_max: Option<Duration>,
    pub(super) settle: Option<SettleKind>,
    /// Where it was once.
    pub(super) max_len: Option<u64>,
    pub(super) keep: Option<Keep>,
    pub(super) trim: Option<Trim>,
    pub(super) lag_max: Option<u64>,
    pub(super) event_bytes_max: Option<ByteSize>,
    pub(super) columns: Option<Columns>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trim {
    pub(super) when: Option<TrimWhen>,
    pub(super) groups: Option<Vec<String>>,
    #[serde(default, with = "humantime_serde::option")]
    pub(super) keep_read: Option<Duration>,
    pub(super) keep_read_entries: Option<u64>,
    pub(super) max_len: Option<u64>,
    #[serde(default, with = "humantime_serde::option")]
    pub(super) max_age: Option<Duration>,
    #[serde(default, with = "humantime_serde::option")]
    pub(super) stale_group_after: Option<Duration>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keep {
    #[serde(default, rename = "for", with = "humantime_serde::option")]
    pub(super) duration: Option<Duration>,
    pub(super) on_loss: Option<OnLoss>,
    pub(super) layout: Option<KeepLayout>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum SettleKind {
    Delete,
    Keep,
}

impl TryFrom<String> for SettleKind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "delete" => Ok(Self::Delete),
            "keep" => Ok(Self::Keep),
            "mark" => Err(format!("\"mark\" was removed; {KEEP_INSTEAD}")),
            _ => Err(format!("found {text:?}, expected delete or keep")),
        }
    }
}

/// For who used `settle = "mark"`.
pub(super) const KEEP_INSTEAD: &str = "use settle = \"keep\", see docs/keeping.md";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Columns {
    pub(super) id: Option<String>,
    pub(super) order: Option<String>,
    pub(super) event_id: Option<String>,
    pub(super) key: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) payload: Option<String>,
    pub(super) headers: Option<String>,
    pub(super) time: Option<String>,
    pub(super) xid: Option<String>,
    /// Where it was once.
    pub(super) settled: Option<String>,
}

macro_rules! fill {
    ($given:expr, $default:expr, $type:ident { $($field:ident),+ }) => {
        $type { $($field: $given.$field.or($default.$field)),+ }
    };
}

impl Outbox {
    /// Takes what is missing here from `default`.
    pub(super) fn or(self, default: Self) -> Self {
        let columns = match (self.columns.clone(), default.columns.clone()) {
            (Some(given), Some(default)) => Some(fill!(
                given,
                default,
                Columns { id, order, event_id, key, kind, payload, headers, time, xid, settled }
            )),
            (given, default) => given.or(default),
        };
        let trim = match (self.trim.clone(), default.trim.clone()) {
            (Some(given), Some(default)) => Some(fill!(
                given,
                default,
                Trim {
                    when,
                    groups,
                    keep_read,
                    keep_read_entries,
                    max_len,
                    max_age,
                    stale_group_after
                }
            )),
            (given, default) => given.or(default),
        };
        let keep = match (self.keep.clone(), default.keep.clone()) {
            (Some(given), Some(default)) => {
                Some(fill!(given, default, Keep { duration, on_loss, layout }))
            }
            (given, default) => given.or(default),
        };
        let outbox = fill!(
            self,
            default,
            Outbox {
                name,
                table,
                stream,
                format,
                batch_rows,
                batch_bytes,
                in_flight,
                poll_interval,
                notify,
                linger,
                park_max,
                settle,
                max_len,
                keep,
                trim,
                lag_max,
                event_bytes_max,
                columns
            }
        );
        Self { keep, trim, columns, ..outbox }
    }
}
