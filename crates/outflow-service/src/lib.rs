//! What the programs of Outflow have in common.
//!
#![doc = include_str!("../README.md")]

pub mod http;
pub mod options;
pub mod signals;
pub mod telemetry;
pub mod terminal;
