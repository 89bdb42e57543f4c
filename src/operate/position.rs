//! `outflow position`: how far a kept outbox has been read, and setting it, while no relay works.

mod of;
mod set;
mod show;

pub use of::{Journaled, Part, Registered, as_copies, registered};
pub use set::{Moved, Refused, Request, To, set};
pub use show::{Copy, JournalOf, MemberOf, Shown, show};
