//! Outflow: a transactional-outbox relay from Postgres to Redis Streams.

pub mod admin;
pub mod backlog;
pub mod cli;
pub mod columns;
pub mod config;
pub mod consumer;
pub mod daemon;
pub mod dead;
pub mod encode;
pub mod event;
pub mod gauge;
pub mod local;
pub mod metrics;
pub mod migrate;
pub mod orders;
pub mod outbox;
pub mod postgres;
pub mod producer;
pub mod redis;
pub mod relay;
pub mod route;
pub mod signals;
pub mod sink;
pub mod status;
pub mod table_name;
pub mod telemetry;
