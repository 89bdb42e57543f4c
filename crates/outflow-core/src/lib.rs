//! What the crates of Outflow share.
//!
#![doc = include_str!("../README.md")]

pub mod age;
pub mod entry_field;
pub mod escape;
pub mod fault;
pub mod table_name;
#[cfg(feature = "task")]
pub mod task;
pub mod trace_parent;
pub mod who;
pub mod words;
