//! Which transactions are visible: Postgres's `pg_snapshot`. Pure.

use std::fmt;

/// What `pg_current_snapshot()` prints: `xmin:xmax:open,open`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Snapshot {
    xmin: u64,
    /// The first number that was not yet assigned, or not known to have ended.
    xmax: u64,
    /// Those below `xmax` that were open, in order.
    open: Vec<u64>,
}

/// A text that is no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no snapshot of Postgres")]
pub struct NoSnapshot(String);

impl Snapshot {
    /// Sees no transaction at all.
    pub fn nothing() -> Self {
        Self { xmin: 1, xmax: 1, open: Vec::new() }
    }

    /// Parses what Postgres prints.
    ///
    /// # Errors
    /// [`NoSnapshot`].
    pub fn parse(text: &str) -> Result<Self, NoSnapshot> {
        let parsed = || {
            let mut parts = text.split(':');
            let xmin = parts.next()?.parse().ok()?;
            let xmax = parts.next()?.parse().ok()?;
            let open = parts.next()?.split(',').filter(|xid| !xid.is_empty());
            let open: Vec<u64> = open.map(|xid| xid.parse().ok()).collect::<Option<_>>()?;
            let is_whole = parts.next().is_none();
            let is_sorted = open.is_sorted_by(|one, next| one < next);
            let is_within = open.iter().all(|xid| (xmin..xmax).contains(xid));
            (is_whole && is_sorted && is_within && 0 < xmin && xmin <= xmax).then_some(Self {
                xmin,
                xmax,
                open,
            })
        };
        parsed().ok_or_else(|| NoSnapshot(text.to_owned()))
    }

    /// Whether the rows of this transaction are visible, if it was committed.
    pub fn sees(&self, xid: u64) -> bool {
        xid < self.xmax && self.open.binary_search(&xid).is_err()
    }

    /// Whether it sees all that the other one sees.
    pub fn includes(&self, other: &Self) -> bool {
        let hidden = self.open.iter().filter(|xid| **xid < other.xmax);
        self.xmax >= other.xmax && hidden.into_iter().all(|xid| !other.sees(*xid))
    }

    /// The same, but that it sees this transaction, too. Those before it that it does not know have
    /// not ended.
    #[must_use]
    pub fn including(mut self, xid: u64) -> Self {
        if xid >= self.xmax {
            self.open.extend(self.xmax..xid);
            self.xmax = xid + 1;
        }
        self.open.retain(|open| *open != xid);
        self
    }

    /// Sees what both see.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let xmax = self.xmax.min(other.xmax);
        let mut open: Vec<u64> = [&self.open[..], &other.open[..]].concat();
        open.retain(|xid| *xid < xmax);
        open.sort_unstable();
        open.dedup();
        Self { xmin: open.first().copied().unwrap_or(xmax), xmax, open }
    }

    /// It sees everything below.
    pub fn xmin(&self) -> u64 {
        self.xmin
    }

    /// The first number that it does not know.
    pub fn xmax(&self) -> u64 {
        self.xmax
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (index, xid) in self.open.iter().enumerate() {
            write!(f, "{}{xid}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn snapshots() -> impl Strategy<Value = Snapshot> {
        (1..12_u64, 0..8_u64, any::<u16>()).prop_map(|(xmin, width, open)| {
            let xmax = xmin + width;
            let open = (xmin..xmax).filter(|xid| open >> (xid - xmin) & 1 == 1).collect();
            Snapshot { xmin, xmax, open }
        })
    }

    #[test]
    fn one_more_transaction_is_seen_and_no_other() {
        let table = [
            ("5:8:6", 6, "5:8:"),
            ("5:8:6", 8, "5:9:6"),
            ("5:8:6", 10, "5:11:6,8,9"),
            ("5:5:", 5, "5:6:"),
            ("5:8:", 7, "5:8:"),
        ];
        for (before, xid, after) in table {
            let snapshot = Snapshot::parse(before).expect(before).including(xid);
            assert_eq!(snapshot.to_string(), after, "{before} and {xid}");
            assert_eq!(Snapshot::parse(after), Ok(snapshot));
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(snapshot in snapshots()) {
            prop_assert_eq!(Snapshot::parse(&snapshot.to_string()), Ok(snapshot));
        }

        #[test]
        fn it_includes_what_it_sees(one in snapshots(), other in snapshots()) {
            let includes = (1..30).all(|xid| one.sees(xid) || !other.sees(xid));
            // A higher end says more only if something below it has ended.
            prop_assert!(!one.includes(&other) || includes);
            prop_assert!(!includes || one.includes(&other) || other.xmax() > one.xmax());
        }
    }

    proptest! {
        #[test]
        fn what_is_common_is_what_both_see(one in snapshots(), other in snapshots()) {
            let common = one.common(&other);
            let both = (1..30).all(|xid| common.sees(xid) == (one.sees(xid) && other.sees(xid)));
            prop_assert!(both, "{} of {} and {}", common, one, other);
            prop_assert_eq!(Snapshot::parse(&common.to_string()), Ok(common));
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "1", "1:2", "2:1:", "0:1:", "1:5:4,3", "1:5:5", "1:5:0", "1:5:2:3", "a:b:"]
        {
            assert!(Snapshot::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Snapshot::parse("746:746:").map(|seen| seen.sees(745)), Ok(true));
        assert!((0..5).all(|xid| !Snapshot::nothing().sees(xid.max(1))));
    }
}
