//! When the sleep lock is taken and given up: once for a whole sleep, however many single events
//! come in it.

use std::sync::atomic::AtomicUsize;

use super::super::session::Session;
use super::super::trouble::Trouble;
use super::{Counting, Mode, Scripted, relay};

/// At the end the script is over, and whoever is asleep gets up.
#[tokio::test]
async fn an_event_by_itself_keeps_the_sleep_lock_and_two_claims_in_a_row_give_it_up()
-> Result<(), Trouble> {
    let table = [
        // Nothing at all: it falls asleep, looks once more, and sleeps.
        ("00", "0l l0z l u"),
        // One event, and then another one after a sleep: the lock stays.
        ("00R0R0", "0l l0z lR l0z lR l0z l u"),
        // Two in a row: it gets up with the third claim, and sleeps anew when there is nothing
        // left.
        ("00RR00", "0l l0z lR lR u0l l0z l u"),
        // Awake, it takes no lock until there is nothing.
        ("RRRR0", "RRRR0l l u"),
    ];
    for (script, expected) in table {
        let outbox = Scripted::new(script);
        let counting = Counting(AtomicUsize::default().into());
        let relay = relay(&outbox, counting, 1);
        relay.drain(&Session::new(1, 1), Mode::Daemon, &outbox.stop).await?;
        assert_eq!(outbox.calls(), expected.replace(' ', ""), "{script}");
    }
    Ok(())
}
