//! The model's cursor does what the relay's does: the same claims lead to the same position and the
//! same list.

use outflow::relay::outbox::cursor as real;
use proptest::prelude::*;

use crate::bounds::{Bounds, Writers};
use crate::cursor::{Cursor, Look, Snapshot};

#[derive(Debug, Clone)]
enum Event {
    /// How far the transactions went, which of them are open, what was drawn since, the last row
    /// and whether it was full.
    Claim {
        ended: u8,
        begun: u8,
        open: u32,
        drawn: u8,
        last: u8,
        full: bool,
    },
    Vain {
        open: u32,
    },
    Rewind {
        id: u8,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let claim = (0..3_u8, 0..3_u8, any::<u32>(), 0..6_u8, 1..30_u8, any::<bool>()).prop_map(
        |(ended, begun, open, drawn, last, full)| Event::Claim {
            ended,
            begun,
            open,
            drawn,
            last,
            full,
        },
    );
    let vain = any::<u32>().prop_map(|open| Event::Vain { open });
    let rewind = (1..30_u8).prop_map(|id| Event::Rewind { id });
    prop::collection::vec(prop_oneof![6 => claim, 1 => vain, 1 => rewind], 0..7)
}

fn snapshots(xmax: u8, open: u32) -> (Snapshot, real::Snapshot) {
    let named: Vec<String> =
        (1..xmax).filter(|xid| open & (1 << xid) != 0).map(|xid| xid.to_string()).collect();
    let text = format!("1:{xmax}:{}", named.join(","));
    let mask = (1..xmax).fold(0, |mask, xid| mask | 1 << xid);
    (Snapshot { xmax, open: open & mask }, real::Snapshot::parse(&text).expect("a snapshot"))
}

/// Its lowest value is the model's 0.
fn small(order: i64) -> u8 {
    u8::try_from(order.max(0)).expect("ids of the model are small")
}

proptest! {
    #[test]
    fn the_models_cursor_agrees_with_the_relays(events in events(), proven in any::<bool>()) {
        let bounds = Bounds { writers: Writers::Unnumbered, ..Bounds::plain() };
        let (mut model, mut relay) = (Cursor::default(), real::Cursor::default());
        let (mut xmax, mut own, mut sequence) = (1, 0, 0);
        for event in events {
            let proof = |drawn: u8| proven.then(|| real::Proof { token: "t".to_owned(),
                drawn: i64::from(drawn) });
            match event {
                Event::Claim { ended, begun, open, drawn, last, full } => {
                    xmax = (xmax + ended).min(own + 1);
                    own += 1 + begun;
                    sequence += drawn;
                    let (ours, theirs) = snapshots(xmax, open);
                    let drawn = proven.then_some(sequence);
                    model.looked(&Look { snapshot: ours, drawn, own, last, full }, &bounds);
                    let (own, last) = (Some(u64::from(own)), Some(i64::from(last)));
                    relay.looked(&real::Look { snapshot: theirs, proof: proof(sequence), own, last,
                        full });
                }
                Event::Vain { open } => {
                    let (ours, theirs) = snapshots(xmax, open);
                    model.looked_in_vain(ours);
                    let proof = proof(sequence);
                    relay.looked(&real::Look { snapshot: theirs, proof, own: None, last: None,
                        full: false });
                }
                Event::Rewind { id } => {
                    model.rewind_below(id);
                    relay.rewind_below(i64::from(id));
                }
            }
            prop_assert_eq!(model.position, small(relay.position()));
            let listed: Vec<(u64, i64)> = relay.watched().collect();
            let listed: Vec<(u8, u8)> =
                listed.into_iter().map(|(xid, floor)| (u8::try_from(xid).expect("small"),
                    small(floor))).collect();
            prop_assert_eq!(model.watched(), listed);
            let unseen = relay.unseen().map(|(xid, floor)| (u8::try_from(xid).expect("small"),
                small(floor)));
            prop_assert_eq!(model.unseen(), unseen);
        }
    }
}
