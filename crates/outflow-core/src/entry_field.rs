//! The fields of an entry in the format `fields`, as the relay writes and consumers read them.

/// The event's id.
pub const ID: &str = "id";
/// What happened.
pub const TYPE: &str = "type";
/// The ordering key; empty if the table has none.
pub const KEY: &str = "key";
/// When it happened; empty if the table does not say.
pub const TIME: &str = "time";
/// The payload, byte for byte.
pub const PAYLOAD: &str = "payload";
/// A JSON object; missing if there are no headers.
pub const HEADERS: &str = "headers";
