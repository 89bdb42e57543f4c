//! The integration tests: one binary, one file a property.

mod api;
mod configuration;
mod consumer;
mod crash;
mod demo;
mod deploy;
mod entries;
mod members;
mod migrate;
mod order;
mod refusals;
mod run;
mod servers;
mod sleep;
mod support;
mod tidy;
