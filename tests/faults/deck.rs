//! Deals the faults from a shuffled deck, so that in a long run every kind comes up equally often.
//! Pure.

use fastrand::Rng;

use super::kind::Kind;

/// A deck that is shuffled anew whenever it is empty.
pub(crate) struct Deck {
    kinds: Vec<Kind>,
    left: Vec<Kind>,
    rng: Rng,
}

impl Deck {
    pub(crate) fn new(kinds: &[Kind], seed: u64) -> Self {
        assert!(!kinds.is_empty(), "a deck without cards");
        Self { kinds: kinds.to_vec(), left: Vec::new(), rng: Rng::with_seed(seed) }
    }

    /// The next kind, and a seed for how it is done.
    pub(crate) fn draw(&mut self) -> (Kind, u64) {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
            self.rng.shuffle(&mut self.left);
        }
        let kind = self.left.pop().expect("it has just been filled");
        (kind, self.rng.u64(..))
    }

    /// Whether every kind has come up equally often so far.
    pub(crate) fn is_dealt(&self) -> bool {
        self.left.is_empty()
    }
}

#[test]
fn every_kind_can_be_dealt_alone() {
    for &kind in Kind::all() {
        let only: Kind = kind.name().parse().expect("its name");
        let mut deck = Deck::new(&[only], 1);
        assert_eq!([deck.draw().0, deck.draw().0], [kind, kind]);
    }
    assert!("frost".parse::<Kind>().is_err_and(|message| message.contains("pg-freeze")));
}

#[test]
fn every_kind_comes_up_equally_often_in_an_order_that_the_seed_decides() {
    let dealt = |seed| {
        let mut deck = Deck::new(Kind::all(), seed);
        (0..5 * Kind::all().len()).map(|_| deck.draw()).collect::<Vec<_>>()
    };
    for &kind in Kind::all() {
        assert_eq!(
            dealt(7).iter().filter(|(dealt, _)| *dealt == kind).count(),
            5,
            "{}",
            kind.name()
        );
    }
    assert_eq!(dealt(7), dealt(7));
    assert_ne!(dealt(7), dealt(8));
}
