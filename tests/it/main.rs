//! The integration tests: one binary, one file a property.

mod api;
mod consumer;
mod demo;
mod servers;
