//! What was placed, relayed and consumed, order by order, and what is wrong with it. Pure: others
//! read and report.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::again::{Again, Fate};
use super::tally::Tally;

/// Microseconds; a longer lag counts as this one.
const LAG_MAX: u64 = 600_000_000;
const LAG_DIGITS: u8 = 3;

/// What an event says of its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The order reserves its items.
    Created,
    /// They are reserved and paid for.
    Confirmed,
    /// There is not enough of them.
    Rejected,
    /// It gives them back.
    Cancelled,
    /// What a step has done about it, for the other steps.
    Step,
}

/// One entry of the stream.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its stream and its id in there.
    pub(super) id: String,
    pub(super) event_id: String,
    pub(super) kind: Kind,
    /// The order's id.
    pub(super) key: String,
    /// What the order reserves, SKU and quantity; looked at in a creation only.
    pub(super) items: Vec<(String, i64)>,
    /// From the start of the transaction that wrote the event until it was read from the stream.
    pub(super) lag: Duration,
}

/// Every order that was seen anywhere. Grows with their number: it must recognise a double however
/// late it comes.
#[derive(Debug)]
pub(super) struct Ledger {
    orders: HashMap<String, Order>,
    /// The events in the streams.
    events: HashMap<String, Seen>,
    /// In the inbox before we have read them from the stream ourselves.
    handled_early: HashSet<String>,
    handled: HashSet<String>,
    again: Again,
    tally: Tally,
    lags: Histogram<u64>,
    lags_recent: Histogram<u64>,
}

/// An event in a stream.
#[derive(Debug)]
struct Seen {
    order: String,
    entry: String,
    /// Whether the order is waiting for its effect.
    counts: bool,
}

#[derive(Debug, Default)]
struct Order {
    /// Whether it was cancelled; `None` until the API has acknowledged it.
    placed: Option<bool>,
    created: u32,
    confirmed: u32,
    rejected: u32,
    cancelled: u32,
    handled: u32,
    /// The same event id was read twice.
    repeated: bool,
    disordered: bool,
    items: Vec<(String, i64)>,
}

impl Order {
    fn is_relayed(&self) -> bool {
        self.placed.is_some_and(|cancelled| self.created > 0 && (!cancelled || self.cancelled > 0))
    }

    fn tally(&self) -> Tally {
        Tally {
            placed: u64::from(self.placed.is_some()),
            relayed: u64::from(self.is_relayed()),
            consumed: u64::from(self.is_relayed() && self.handled >= self.created + self.cancelled),
            doubled: u64::from(
                self.repeated
                    || self.created > 1
                    || self.cancelled > 1
                    || self.confirmed + self.rejected > 1,
            ),
            out_of_order: u64::from(self.disordered),
        }
    }
}

impl Ledger {
    pub(super) fn new() -> Self {
        let lags =
            Histogram::new_with_bounds(1, LAG_MAX, LAG_DIGITS).expect("1 ≤ max/2 and digits ≤ 5");
        Self {
            orders: HashMap::new(),
            events: HashMap::new(),
            handled_early: HashSet::new(),
            handled: HashSet::new(),
            again: Again::default(),
            tally: Tally::default(),
            lags_recent: lags.clone(),
            lags,
        }
    }

    /// The API has acknowledged an order, and its cancellation if there is one.
    pub(super) fn place(&mut self, order_id: &str, cancelled: bool) {
        self.change(order_id, |order| order.placed = Some(cancelled));
    }

    /// An entry was read from a stream, in the stream's order.
    pub(super) fn relay(&mut self, entry: Entry) {
        let counts = entry.kind != Kind::Step;
        let seen = Seen { order: entry.key.clone(), entry: entry.id.clone(), counts };
        if self.events.insert(entry.event_id.clone(), seen).is_some() {
            self.change(&entry.key, |order| order.repeated = true);
            return;
        }
        let is_still = self.again.is_still(&entry.event_id, &entry.id);
        if counts && !is_still {
            let micros = u64::try_from(entry.lag.as_micros()).unwrap_or(LAG_MAX);
            self.lags.saturating_record(micros.max(1));
            self.lags_recent.saturating_record(micros.max(1));
        }
        let handled = u32::from(self.handled_early.remove(&entry.event_id) && counts);
        self.change(&entry.key, |order| {
            order.handled += handled;
            match entry.kind {
                Kind::Created => {
                    order.created += 1;
                    order.items = entry.items;
                }
                Kind::Confirmed => {
                    order.disordered |= order.created == 0 || order.cancelled > 0;
                    order.confirmed += 1;
                }
                Kind::Rejected => {
                    order.disordered |= order.created == 0;
                    order.rejected += 1;
                }
                Kind::Cancelled => {
                    order.disordered |= order.created == 0;
                    order.cancelled += 1;
                }
                Kind::Step => {}
            }
        });
    }

    /// Redis came back in an older state: the streams are read anew, from their beginning. What was
    /// placed, what the consumer did and what was wrong before still counts.
    pub(super) fn read_anew(&mut self) {
        let events = std::mem::take(&mut self.events);
        self.again =
            Again::new(events.into_iter().map(|(event, seen)| (event, seen.entry)).collect());
        self.handled_early.clone_from(&self.handled);
        let keys: Vec<String> = self.orders.keys().cloned().collect();
        for key in keys {
            self.change(&key, |order| {
                *order = Order {
                    placed: order.placed,
                    repeated: order.repeated,
                    disordered: order.disordered,
                    ..Order::default()
                };
            });
        }
    }

    /// How many different events the streams hold.
    pub(super) fn events(&self) -> usize {
        self.events.len()
    }

    /// What became of what was read before Redis went back.
    pub(super) fn fate(&self) -> Fate {
        self.again.fate()
    }

    /// An event was found in the consumer's inbox; finding it again is no news.
    pub(super) fn consume(&mut self, event_id: String) {
        if !self.handled.insert(event_id.clone()) {
            return;
        }
        match self.events.get(&event_id) {
            Some(Seen { counts: false, .. }) => {}
            Some(Seen { order, .. }) => {
                let order = order.clone();
                self.change(&order, |order| order.handled += 1);
            }
            None => drop(self.handled_early.insert(event_id)),
        }
    }

    /// The counts so far.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// How the orders in the stream ended: confirmed for good, rejected, cancelled.
    pub(super) fn ends(&self) -> [usize; 3] {
        let count =
            |ended: fn(&Order) -> bool| self.orders.values().filter(|order| ended(order)).count();
        [
            count(|order| order.confirmed > 0 && order.cancelled == 0),
            count(|order| order.rejected > 0),
            count(|order| order.cancelled > 0),
        ]
    }

    /// All lags so far, in microseconds.
    pub(super) fn lags(&self) -> &Histogram<u64> {
        &self.lags
    }

    /// The lags since the last call, in microseconds.
    pub(super) fn take_recent_lags(&mut self) -> Histogram<u64> {
        let empty = Histogram::new_from(&self.lags);
        std::mem::replace(&mut self.lags_recent, empty)
    }

    /// Compares the inventory with what it must hold, had each event in the stream taken effect
    /// exactly once: what created orders reserve, less what cancelled ones give back and rejected
    /// ones never got. Returns a line for every SKU that differs.
    pub(super) fn audit(&self, inventory: &BTreeMap<String, i64>) -> Vec<String> {
        let mut differences: BTreeMap<&str, (i64, i64)> =
            inventory.iter().map(|(sku, reserved)| (sku.as_str(), (*reserved, 0))).collect();
        let standing = self
            .orders
            .values()
            .filter(|order| order.created > 0 && order.cancelled + order.rejected == 0);
        for (sku, quantity) in standing.flat_map(|order| &order.items) {
            differences.entry(sku).or_default().1 += quantity;
        }
        differences.retain(|_, (reserved, expected)| reserved != expected);
        let line = |(sku, (reserved, expected))| {
            format!("inventory of {sku}: {reserved} reserved, expected {expected}")
        };
        differences.into_iter().map(line).collect()
    }

    /// Changes one order and keeps the counts in step, so that nobody walks all of them.
    fn change(&mut self, order_id: &str, change: impl FnOnce(&mut Order)) {
        let order = self.orders.entry(order_id.to_owned()).or_default();
        let before = order.tally();
        change(order);
        let after = order.tally();
        let moved = |total: u64, before: u64, after: u64| total + after - before;
        self.tally = Tally {
            placed: moved(self.tally.placed, before.placed, after.placed),
            relayed: moved(self.tally.relayed, before.relayed, after.relayed),
            consumed: moved(self.tally.consumed, before.consumed, after.consumed),
            doubled: moved(self.tally.doubled, before.doubled, after.doubled),
            out_of_order: moved(self.tally.out_of_order, before.out_of_order, after.out_of_order),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind, event_id: &str, key: &str) -> Entry {
        let items = vec![("sku-1".to_owned(), 2)];
        Entry {
            id: format!("1-{event_id}"),
            event_id: event_id.to_owned(),
            kind,
            key: key.to_owned(),
            items,
            lag: Duration::from_millis(1),
        }
    }

    #[test]
    fn an_order_counts_when_all_its_events_do() {
        let mut ledger = Ledger::new();
        ledger.consume("c".to_owned());
        ledger.relay(entry(Kind::Created, "c", "A"));
        ledger.place("A", true);
        assert_eq!(ledger.tally(), Tally { placed: 1, ..Tally::default() });
        let inventory = BTreeMap::from([("sku-1".to_owned(), 2)]);
        assert_eq!(ledger.audit(&inventory), Vec::<String>::new());
        ledger.relay(entry(Kind::Cancelled, "x", "A"));
        assert_eq!(ledger.tally(), Tally { placed: 1, relayed: 1, ..Tally::default() });
        ledger.consume("x".to_owned());
        ledger.consume("x".to_owned());
        assert_eq!(
            ledger.tally().to_string(),
            "placed 1, relayed 1, consumed 1, lost 0, doubled 0, out of order 0"
        );
        assert!(ledger.tally().is_clean());
        assert_eq!(ledger.audit(&BTreeMap::new()), Vec::<String>::new());
        assert_eq!(ledger.audit(&inventory), ["inventory of sku-1: 2 reserved, expected 0"]);
    }

    #[test]
    fn a_missing_event_is_a_lost_order() {
        let mut ledger = Ledger::new();
        ledger.place("A", false);
        ledger.place("B", true);
        ledger.relay(entry(Kind::Created, "b", "B"));
        ledger.consume("b".to_owned());
        assert_eq!(
            ledger.tally().to_string(),
            "placed 2, relayed 0, consumed 0, lost 2, doubled 0, out of order 0"
        );
    }

    #[test]
    fn streams_that_went_back_are_read_anew_and_effects_stay() {
        let mut ledger = Ledger::new();
        for key in ["A", "B"] {
            ledger.place(key, false);
            ledger.relay(entry(Kind::Created, &format!("c-{key}"), key));
            ledger.relay(entry(Kind::Step, &format!("s-{key}"), key));
            ledger.consume(format!("c-{key}"));
            ledger.consume(format!("s-{key}"));
        }
        assert!(ledger.tally().is_clean());
        ledger.read_anew();
        ledger.relay(entry(Kind::Created, "c-A", "A"));
        let text = "placed 2, relayed 1, consumed 1, lost 1, doubled 0, out of order 0";
        assert_eq!(ledger.tally().to_string(), text);
        ledger.relay(Entry { id: "2-0".to_owned(), ..entry(Kind::Created, "c-B", "B") });
        assert!(ledger.tally().is_clean());
        assert_eq!((ledger.events(), ledger.fate()), (2, Fate { gone: 3, anew: 1 }));
    }

    #[test]
    fn doubles_and_wrong_order_are_counted_once_an_order() {
        let mut ledger = Ledger::new();
        for (kind, event_id, key) in [
            (Kind::Created, "a", "A"),
            (Kind::Created, "a", "A"),
            (Kind::Created, "a", "A"),
            (Kind::Created, "b1", "B"),
            (Kind::Created, "b2", "B"),
            (Kind::Cancelled, "x", "C"),
            (Kind::Created, "c", "C"),
            (Kind::Created, "d", "D"),
            (Kind::Confirmed, "d1", "D"),
            (Kind::Rejected, "d2", "D"),
            (Kind::Created, "e", "E"),
            (Kind::Cancelled, "e1", "E"),
            (Kind::Confirmed, "e2", "E"),
        ] {
            ledger.relay(entry(kind, event_id, key));
        }
        assert_eq!(ledger.tally(), Tally { doubled: 3, out_of_order: 2, ..Tally::default() });
        assert!(!ledger.tally().is_clean());
    }
}
