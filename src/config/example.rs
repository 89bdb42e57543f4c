//! The documented defaults, and which of their sections name a server.

/// The documented defaults: the example file itself.
pub const EXAMPLE: &str = include_str!("../../config.toml.example");

/// Sections that name a server.
pub(super) const SERVERS: [&str; 2] = ["postgres", "redis"];
