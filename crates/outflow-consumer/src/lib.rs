//! Consumes Redis streams as a member of a consumer group.
//!
// The main example exports metrics.
#![cfg_attr(feature = "prometheus", doc = include_str!("../README.md"))]

mod attempt;
mod audit;
mod backoff;
mod batching;
mod consumer;
mod context;
mod control;
mod dead_letters;
mod entry;
mod error;
mod event_id;
mod event_loop;
mod group;
mod handler;
mod health;
mod housekeeping;
mod id;
mod inbox;
mod lifecycle;
mod memory;
#[cfg(feature = "prometheus")]
mod metrics;
mod observer;
mod outcome;
mod reader;
mod runner;
mod schedule;
mod settings;
mod step;
mod steps;
mod token_bucket;

pub use consumer::{Consumer, OpenError};
pub use control::Control;
pub use dead_letters::{DeadFilter, DeadLetter, DeadLetters, Retried};
pub use entry::{Entry, Malformed};
pub use error::{BoxError, ErrorKind, HandlerError};
pub use event_id::EventId;
pub use handler::{Handled, Handler};
pub use health::Health;
pub use id::{BadEntryId, EntryId};
pub use inbox::{Inbox, InboxError};
pub use lifecycle::Ended;
#[cfg(feature = "prometheus")]
pub use metrics::Metrics;
pub use observer::{FailureReason, GroupState, Observation, Observer};
pub use settings::{BadSetting, RETRY_DELAY_MAX, Rate, Settings, SettingsBuilder, Source};

pub use outflow_connect::postgres::{Trouble, classify, classify_state};
pub use outflow_connect::redis::{BadUrl, Failure, Redis};
pub use outflow_core::fault::{Fault, FaultKind};
pub use outflow_core::table_name::BadTableName;

// Types of these are in signatures of ours.
pub use bytes;
pub use deadpool_postgres;
pub use jiff;
#[cfg(feature = "prometheus")]
pub use prometheus;
pub use rustls;
pub use secrecy;
pub use serde_json;
pub use tokio_postgres;
pub use tokio_util;
pub use uuid;
