//! What a demo is to do.

/// How much to order, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Orders to place; without end when `None`.
    pub orders: Option<u64>,
    /// Orders a second, at least 1; fewer when the API is slower.
    pub rate: u32,
    /// Orders that may be in the making at once, at least 1.
    pub clients: u32,
    /// Kills one of the programs every second while orders are placed, and starts it again.
    pub chaos: bool,
}
