//! Where the sessions of a relay lead.

use outflow_connect::postgres::Server;

/// Where the sessions of a relay lead.
#[derive(Debug, Clone, Copy)]
pub struct Servers<'a> {
    /// Where it claims, settles and recovers.
    pub work: &'a Server,
    /// The way around a transaction pooler at `work`, if there may be one.
    pub control: Option<&'a Server>,
}

impl<'a> Servers<'a> {
    /// For sessions that stay the same: those with session locks, LISTEN or settings.
    pub fn direct(self) -> &'a Server {
        self.control.unwrap_or(self.work)
    }
}
