//! What a demo is to do.

/// Seconds of orders that Redis needs to go back in the middle of them.
const ROLLBACK_SECONDS: u64 = 4;
/// So few orders have no middle.
const ROLLBACK_ORDERS_MIN: u64 = 20;
/// A run without an end has its rollback by then.
const ENDLESS: u64 = 2_000;

/// How much to order, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Orders to place; without end when `None`.
    pub orders: Option<u64>,
    /// Orders a second, at least 1; fewer when the API is slower.
    pub rate: u32,
    /// Orders that may be in the making at once, at least 1.
    pub clients: u32,
    /// What is done to the programs or to the servers while orders are placed.
    pub chaos: Option<Chaos>,
}

/// What goes wrong while orders are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Chaos {
    /// Kill one of the programs every second, and start it again
    Programs,
    /// Kill a Redis without persistence, and start it with an older copy of its data
    RedisRollback,
}

impl Plan {
    /// Whether the rows stay in the outbox (`settle = "keep"`).
    pub(super) fn keeps(&self) -> bool {
        self.chaos == Some(Chaos::RedisRollback)
    }

    /// After how many orders Redis is copied, and after how many it is killed, at the earliest.
    pub(super) fn rollback(&self) -> (u64, u64) {
        let orders = self.orders.unwrap_or(ENDLESS);
        (orders * 3 / 10, orders / 2)
    }

    /// Why it cannot be carried out.
    pub fn problem(&self) -> Option<String> {
        let orders = self.orders.filter(|_| self.keeps())?;
        let least = ROLLBACK_ORDERS_MIN.max(ROLLBACK_SECONDS * u64::from(self.rate));
        (orders < least).then(|| {
            format!(
                "--orders {orders} is too few for --chaos redis-rollback, which needs \
                 {ROLLBACK_SECONDS} seconds of orders: at --rate {} give --orders {least} or more",
                self.rate
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollback_needs_a_middle() {
        let plan = |orders, rate| Plan {
            orders: Some(orders),
            rate,
            clients: 4,
            chaos: Some(Chaos::RedisRollback),
        };
        assert_eq!(plan(2_000, 100).problem(), None);
        assert_eq!(plan(2_000, 100).rollback(), (600, 1_000));
        let problem = plan(399, 100).problem().expect("a problem");
        assert!(problem.contains("--orders 399") && problem.contains("--orders 400"), "{problem}");
        assert!(plan(19, 1).problem().is_some_and(|problem| problem.contains("--orders 20 or")));
        assert_eq!(Plan { orders: None, ..plan(1, 100) }.problem(), None);
        assert_eq!(Plan { chaos: Some(Chaos::Programs), ..plan(1, 100) }.problem(), None);
    }
}
