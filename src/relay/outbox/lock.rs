//! The advisory locks: one class for each use, two-key form, the second key being the table's oid
//! unless it says otherwise.

/// Held shared by every open claim, exclusively by a recovery: the fence.
pub const FENCE: i32 = 0x6f75_0001;
/// Held exclusively by a sleeping member, tried shared by writers.
pub const WAKE: i32 = 0x6f75_0002;
/// Held by the control session of each member; the second key is the member's number.
pub const SEAT: i32 = 0x6f75_0003;
/// Held by `migrate`.
pub const MIGRATE: i32 = 0x6f75_0004;

/// The second key: Postgres takes a signed number where an oid is unsigned.
pub fn key(oid: u32) -> i32 {
    i32::from_ne_bytes(oid.to_ne_bytes())
}
