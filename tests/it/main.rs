//! The integration tests: one binary, one file a property.

mod api;
mod demo;
mod servers;
