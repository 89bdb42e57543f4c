//! Whether Redis still knows all that it acknowledged. Pure.
//!
//! The witness is in Postgres: the number of the last batch that each member had an answer for,
//! generation by generation. It never says more than Redis did, so that a Redis that knows less has
//! lost it, whoever finds out, and whether or not the member that had the answer still lives.

use crate::relay::event::Acknowledged;
use crate::relay::sink::{GENERATIONS_KEPT, Raised};

/// What is missing in the journal, in words.
pub(super) fn missing(known: i64, raised: &Raised, witness: &[Acknowledged]) -> Option<String> {
    let Some(previous) = raised.previous else {
        return (known > 0)
            .then(|| format!("Postgres is at generation {known}, and there is no journal"));
    };
    if previous < known {
        return Some(format!("Postgres is at generation {known}, the journal was at {previous}"));
    }
    let is_missing = |seen: &&Acknowledged| {
        let is_same =
            |last: &&Acknowledged| (last.generation, last.member) == (seen.generation, seen.member);
        let last = raised.last.iter().find(is_same).map_or(0, |last| last.batch);
        // Of older ones the journal keeps no numbers.
        seen.generation >= previous - GENERATIONS_KEPT && last < seen.batch
    };
    let Acknowledged { generation, member, batch } = witness.iter().find(is_missing)?;
    Some(format!(
        "batch {batch} of member {member} in generation {generation}, which Redis had \
            acknowledged, is unknown to it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(generation: i64, member: i32, batch: u64) -> Acknowledged {
        Acknowledged { generation, member, batch }
    }

    #[test]
    fn what_redis_knows_less_of_is_missing() {
        let last = vec![seen(40, 1, 7), seen(39, 2, 5)];
        let table = [
            ("all is there", 40, Some(40), vec![seen(40, 1, 7), seen(39, 2, 5)], false),
            ("it knows more", 40, Some(40), vec![seen(40, 1, 3)], false),
            ("a raise whose commit failed", 40, Some(43), vec![seen(40, 1, 7)], false),
            ("it knows less", 40, Some(40), vec![seen(40, 1, 8)], true),
            ("nothing of a member", 40, Some(40), vec![seen(40, 1, 7), seen(40, 3, 1)], true),
            ("nothing, but it had acknowledged nothing", 40, Some(40), vec![seen(40, 3, 0)], false),
            (
                "nothing of the oldest that is kept",
                40,
                Some(40),
                vec![seen(40 - GENERATIONS_KEPT, 9, 1)],
                true,
            ),
            (
                "of one that is not kept",
                40,
                Some(40),
                vec![seen(39 - GENERATIONS_KEPT, 9, 1)],
                false,
            ),
            ("kept when Postgres stood still", 40, Some(60), vec![seen(40, 9, 1)], false),
            ("an older journal", 40, Some(39), vec![], true),
            ("no journal", 40, None, vec![], true),
            ("the first start", 0, None, vec![], false),
        ];
        for (name, known, previous, witness, expected) in &table {
            let raised = Raised {
                generation: 99,
                previous: *previous,
                appended: Vec::new(),
                last: last.clone(),
                server: None,
                kept: None,
            };
            assert_eq!(missing(*known, &raised, witness).is_some(), *expected, "{name}");
        }
    }
}
