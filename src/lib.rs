//! Outflow: a transactional-outbox relay from Postgres to Redis Streams.

pub mod consumer;
pub mod local;
pub mod orders;
pub mod postgres;
pub mod producer;
pub mod redis;
pub mod signals;
pub mod table_name;
pub mod telemetry;
