//! The model's cursor does what the relay's does: the same claims lead to the same position and the same list.

use std::time::{Duration, Instant};

use outflow::outbox::cursor as real;
use proptest::prelude::*;

use crate::bounds::{Bounds, Writers};
use crate::cursor::{Cursor, Look, Snapshot};

/// One of the model's ticks: `ID_BEFORE_XID` is 2 of them.
const TICK: Duration = Duration::from_millis(50);

#[derive(Debug, Clone)]
enum Event {
    /// Ticks since the last, ticks until the answer, how far the transactions went, which of them are open, the last row
    /// and whether it was full.
    Claim {
        ticks: u8,
        waited: u8,
        ended: u8,
        begun: u8,
        open: u32,
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
    let claim = (0..4_u8, 0..3_u8, 0..3_u8, 0..3_u8, any::<u32>(), 1..30_u8, any::<bool>()).prop_map(
        |(ticks, waited, ended, begun, open, last, full)| Event::Claim {
            ticks,
            waited,
            ended,
            begun,
            open,
            last,
            full,
        },
    );
    let vain = any::<u32>().prop_map(|open| Event::Vain { open });
    let rewind = (1..30_u8).prop_map(|id| Event::Rewind { id });
    prop::collection::vec(prop_oneof![6 => claim, 1 => vain, 1 => rewind], 0..7)
}

fn snapshots(xmax: u8, open: u32) -> (Snapshot, real::Snapshot) {
    let named: Vec<String> = (1..xmax).filter(|xid| open & (1 << xid) != 0).map(|xid| xid.to_string()).collect();
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
    fn the_models_cursor_agrees_with_the_relays(events in events()) {
        let bounds = Bounds { writers: Writers::Unnumbered, ..Bounds::plain() };
        let start = Instant::now() + Duration::from_hours(1);
        let (mut model, mut relay) = (Cursor::default(), real::Cursor::default());
        let (mut clock, mut xmax, mut own) = (0, 1, 0);
        for event in events {
            match event {
                Event::Claim { ticks, waited, ended, begun, open, last, full } => {
                    clock += ticks;
                    let sent = clock;
                    clock += waited;
                    xmax = (xmax + ended).min(own + 1);
                    own += 1 + begun;
                    let (ours, theirs) = snapshots(xmax, open);
                    model.looked(&Look { sent, answered: clock, snapshot: ours, own, last, full }, &bounds);
                    let [at, answered] = [sent, clock].map(|clock| start + TICK * u32::from(clock));
                    let (own, last) = (Some(u64::from(own)), Some(i64::from(last)));
                    relay.looked(&real::Look { at, answered, snapshot: theirs, own, last, full });
                }
                Event::Vain { open } => {
                    let (ours, theirs) = snapshots(xmax, open);
                    model.looked_in_vain(ours);
                    let empty = real::Look {
                        at: start,
                        answered: start,
                        snapshot: theirs,
                        own: None,
                        last: None,
                        full: false,
                    };
                    relay.looked(&empty);
                }
                Event::Rewind { id } => {
                    model.rewind_below(id);
                    relay.rewind_below(i64::from(id));
                }
            }
            prop_assert_eq!(model.position, small(relay.position()));
            let listed: Vec<(u64, i64)> = relay.watched().collect();
            let listed: Vec<(u8, u8)> =
                listed.into_iter().map(|(xid, floor)| (u8::try_from(xid).expect("small"), small(floor))).collect();
            prop_assert_eq!(model.watched(), listed);
            let unseen = relay.unseen().map(|(xid, floor)| (u8::try_from(xid).expect("small"), small(floor)));
            prop_assert_eq!(model.unseen(&bounds), unseen);
        }
    }
}
