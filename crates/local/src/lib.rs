//! Private Postgres and Redis servers, and child processes, for the demo and the tests.
//!
//! Everything here listens on 127.0.0.1 only, keeps its files in the directory it is given, and
//! ends when its handle is dropped. Nothing of it is used by the relay itself.

mod cluster;
mod error;
mod files;
mod find;
mod outflow;
mod port;
mod postgres;
mod program;
mod python;
mod redis;
mod redis_cluster;
mod redis_sentinel;
mod servers;
mod user;
mod wait;

pub use error::Error;
pub use find::{binary, find};
pub use nix::sys::signal::Signal;
pub use outflow::Outflow;
pub use port::free_port;
pub use postgres::{Postgres, PostgresOptions};
pub use program::Program;
pub use python::python_environment;
pub use redis::Redis;
pub use redis_cluster::RedisCluster;
pub use redis_sentinel::RedisSentinel;
pub use servers::{Servers, number, redis_client, session};
pub use wait::{Condition, eventually};
