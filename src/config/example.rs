//! The documented defaults, and which of their sections and keys name a server.

/// The documented defaults: the example file itself.
pub const EXAMPLE: &str = include_str!("../../config.toml.example");

/// Sections that name a server.
pub(super) const SERVERS: [&str; 2] = ["postgres", "redis"];

/// Keys that hold an address. Each has a second form, with `_file` behind its name.
pub(super) const ADDRESSES: [&str; 3] = ["postgres.url", "postgres.control_url", "redis.url"];
