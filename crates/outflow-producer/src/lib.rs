//! Writes events into a transactional outbox table, inside the application's own transaction.
//!
// The README's examples need all drivers: without them its tests are left out.
#![cfg_attr(
    any(not(doctest), all(feature = "tokio-postgres", feature = "sqlx", feature = "sea-orm")),
    doc = include_str!("../README.md")
)]

#[cfg(not(any(feature = "tokio-postgres", feature = "sqlx", feature = "sea-orm")))]
compile_error!("enable the feature of a driver: tokio-postgres, sqlx or sea-orm");

mod error;
mod event;
mod rows;
#[cfg(any(feature = "sqlx", feature = "sea-orm"))]
mod said;
#[cfg(feature = "sea-orm")]
pub mod sea_orm;
#[cfg(feature = "sqlx")]
pub mod sqlx;
mod statements;
#[cfg(feature = "tokio-postgres")]
pub mod tokio_postgres;

pub use error::{WriteError, WriteErrorKind};
pub use event::NewEvent;
pub use outflow_core::table_name::BadTableName;
pub use outflow_core::trace_parent::{BadTraceParent, TraceParent};
pub use {serde, serde_json, uuid};
