//! The rows that this process has in flight. One that comes back in another claim is a doubt. Pure.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;

use crate::relay::event::Batch;

/// The rows of each open claim.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    claims: BTreeMap<u64, Rows>,
    next: u64,
}

#[derive(Debug)]
enum Rows {
    /// Order values in ascending order, where these are the primary key.
    Ordered(Vec<i64>),
    /// Primary keys.
    Keys(HashSet<Bytes>),
}

impl InFlight {
    /// Registers the rows of a claim under a new number, or names a row that is in flight already.
    /// `by_order` says that the order column is the primary key, so that ranges can be compared
    /// before rows.
    pub(super) fn enter(&mut self, batch: &Batch, by_order: bool) -> Result<u64, Bytes> {
        let rows = if by_order {
            Rows::Ordered(batch.events.iter().filter_map(|event| event.order).collect())
        } else {
            Rows::Keys(batch.events.iter().map(|event| event.row.clone()).collect())
        };
        if let Some(twice) = batch.events.iter().find(|event| {
            self.claims.values().any(|known| match known {
                Rows::Ordered(known) => event.order.is_some_and(|order| contains(known, order)),
                Rows::Keys(known) => known.contains(&event.row),
            })
        }) {
            return Err(twice.row.clone());
        }
        self.next += 1;
        self.claims.insert(self.next, rows);
        Ok(self.next)
    }

    /// The lowest order value of all, where claims are known by order.
    pub(super) fn lowest(&self) -> Option<i64> {
        let firsts = self.claims.values().filter_map(|rows| match rows {
            Rows::Ordered(orders) => orders.first().copied(),
            Rows::Keys(_) => None,
        });
        firsts.min()
    }

    /// Whether no claim is open.
    pub(super) fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// The claim has ended.
    pub(super) fn leave(&mut self, number: u64) {
        self.claims.remove(&number);
    }
}

fn contains(ascending: &[i64], order: i64) -> bool {
    let within = ascending.first().is_some_and(|first| *first <= order);
    within
        && ascending.last().is_some_and(|last| order <= *last)
        && ascending.binary_search(&order).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::event::Event;

    fn batch(orders: &[i64]) -> Batch {
        let event = |order: &i64| Event {
            row: Bytes::from(order.to_string()),
            order: Some(*order),
            id: Bytes::new(),
            key: None,
            kind: Bytes::new(),
            time: None,
            payload: Bytes::new(),
            headers: None,
        };
        Batch { events: orders.iter().map(event).collect(), ..Batch::default() }
    }

    #[test]
    fn a_row_is_in_one_claim_only() {
        for by_order in [true, false] {
            let mut in_flight = InFlight::default();
            let first = in_flight.enter(&batch(&[1, 3, 5]), by_order).expect("new rows");
            in_flight
                .enter(&batch(&[2, 4, 6]), by_order)
                .expect("other rows, though in the same range");
            assert_eq!(in_flight.enter(&batch(&[7, 5]), by_order), Err(Bytes::from("5")));
            in_flight.leave(first);
            in_flight.enter(&batch(&[5]), by_order).expect("it has ended");
        }
    }
}
