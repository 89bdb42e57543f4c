//! The integration tests: one binary, one file a property.

mod admin;
mod api;
mod check;
mod commands;
mod configuration;
mod consumer;
mod crash;
mod dead;
mod demo;
mod deploy;
mod entries;
mod examples;
mod members;
mod migrate;
mod notify;
mod order;
mod refusals;
mod reload;
mod run;
mod servers;
mod sleep;
mod status;
mod support;
mod tidy;
mod tls;
mod tracing;
