//! Pauses that begin and end while claims are on their way, or while nothing is to be done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::super::session::Session;
use super::super::trouble::Trouble;
use super::{Counting, Full, Mode, Scripted, relay};
use crate::relay::pause::{Pause, Pauses};

fn pauses(streams: &[Option<&str>]) -> Arc<Pauses> {
    let pause = |stream: Option<&str>| Pause {
        stream: stream.map(str::to_owned),
        why: "maintenance".to_owned(),
        since: jiff::Timestamp::UNIX_EPOCH,
        until: None,
        os_user: "ada".to_owned(),
        host: "here".to_owned(),
        role: "operator".to_owned(),
    };
    Arc::new(Pauses::new(streams.iter().copied().map(pause).collect()))
}

fn counting() -> (Counting, Arc<AtomicUsize>) {
    let appended = Arc::new(AtomicUsize::new(0));
    (Counting(Arc::clone(&appended)), appended)
}

/// The claim has left the stream out and is past its rows: what it found is not the last word, and
/// the next one starts at the beginning.
#[tokio::test]
async fn a_claim_that_left_out_a_stream_which_is_resumed_meanwhile_is_followed_by_a_rewind() {
    // Resumed for good; resumed, and another one paused.
    for after in [&[][..], &[Some("another")][..]] {
        for (script, calls) in [("W", "W"), ("ER", "ER")] {
            let outbox = Scripted::new(script);
            outbox.pauses.send_replace(pauses(&[Some("s")]));
            let relay = relay(&outbox, Full::default(), 1);
            let resumes = async {
                outbox.pauses.send_replace(pauses(after));
                outbox.let_go.notify_one();
            };
            let (claim, ()) = tokio::join!(relay.claim_once(), resumes);
            assert!(claim.expect("a claim").is_some(), "{script}: another claim finds the rest");
            assert_eq!(outbox.calls(), calls);
            assert!(outbox.rewinds.load(Ordering::Relaxed) >= 1, "{script}");
        }
    }
}

/// A pause that is replaced by another one, or that comes, makes no claim start anew; one that ends
/// between two claims does.
#[tokio::test]
async fn the_next_claim_starts_at_the_beginning_only_after_a_stream_was_resumed() {
    let outbox = Scripted::new("RRRR");
    let relay = relay(&outbox, Full::default(), 1);
    let steps = [(&[][..], 0), (&[Some("s")][..], 0), (&[Some("s"), None][..], 0), (&[][..], 1)];
    for (paused, rewinds) in steps {
        outbox.pauses.send_replace(pauses(paused));
        assert!(relay.claim_once().await.expect("a claim").is_some());
        assert_eq!(outbox.rewinds.load(Ordering::Relaxed), rewinds, "{paused:?}");
    }
}

/// What the claim found that was on its way is finished; there is no other one.
#[tokio::test]
async fn a_pause_finishes_what_is_in_flight_and_claims_nothing_more() -> Result<(), Trouble> {
    let outbox = Scripted::new("WRRR");
    let (sink, appended) = counting();
    let relay = relay(&outbox, sink, 2);
    let (session, stop) = (Session::new(1, 1), CancellationToken::new());
    let pause = async {
        outbox.pauses.send_replace(pauses(&[None]));
        outbox.let_go.notify_one();
    };
    let (delivered, ()) = tokio::join!(relay.drain(&session, Mode::Daemon, &stop), pause);
    assert_eq!((delivered?, appended.load(Ordering::Relaxed)), (1, 1));
    assert_eq!(outbox.calls(), "W");
    assert_eq!(relay.drain(&session, Mode::Once, &stop).await?, 0, "paused from the start");
    assert_eq!(outbox.calls(), "W");
    Ok(())
}

/// Nothing but the resumption wakes it: no writer notifies.
#[tokio::test]
async fn a_paused_outbox_is_resumed_and_delivers() {
    let outbox = Scripted::new("R");
    outbox.pauses.send_replace(pauses(&[None]));
    let (sink, appended) = counting();
    let relay = relay(&outbox, sink, 1);
    let session = Session::new(1, 1);
    let resumes = async {
        tokio::task::yield_now().await;
        assert_eq!(outbox.calls(), "", "paused");
        outbox.pauses.send_replace(pauses(&[]));
    };
    let (_, ()) = tokio::join!(relay.work(&session, Mode::Daemon, &outbox.stop), resumes);
    assert_eq!(appended.load(Ordering::Relaxed), 1);
}

/// Asleep, with nobody to notify it.
#[tokio::test]
async fn a_sleep_ends_when_a_stream_is_resumed() -> Result<(), Trouble> {
    let outbox = Scripted::new("00R");
    outbox.sleeps_on.store(true, Ordering::Relaxed);
    outbox.pauses.send_replace(pauses(&[Some("s")]));
    let (sink, appended) = counting();
    let relay = relay(&outbox, sink, 1);
    let resumes = async {
        while !outbox.calls().ends_with('z') {
            tokio::task::yield_now().await;
        }
        outbox.pauses.send_replace(pauses(&[]));
        while appended.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        outbox.stop.cancel();
    };
    let session = Session::new(1, 1);
    let (ended, ()) = tokio::join!(relay.drain(&session, Mode::Daemon, &outbox.stop), resumes);
    assert_eq!(ended?, 1);
    assert!(outbox.calls().starts_with("0l l0zlR".replace(' ', "").as_str()), "{}", outbox.calls());
    Ok(())
}

/// Whoever says why nothing was drained asks what was heeded.
#[tokio::test]
async fn a_single_drain_heeds_the_pause_that_ends_it() {
    let outbox = Scripted::new("R");
    outbox.pauses.send_replace(pauses(&[None]));
    let relay = relay(&outbox, Full::default(), 1);
    relay.work(&Session::new(1, 1), Mode::Once, &outbox.stop).await;
    let known = Arc::clone(&relay.pauses.borrow());
    assert!(relay.parked.lock().pause(&known, Instant::now()).is_none(), "it is heeded already");
    assert_eq!(outbox.calls(), "");
}
