//! Connections of Outflow to Postgres and Redis.
//!
#![doc = include_str!("../README.md")]

pub mod address;
pub mod postgres;
pub mod redis;
pub mod secret_file;
pub mod tls;
