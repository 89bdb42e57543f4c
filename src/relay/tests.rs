//! The pipeline over a scripted outbox and sink: what must not happen when a batch fails while
//! another is being claimed, or while Redis is silent.

mod pauses;
mod scripted;
mod sleep;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::trouble::{Cause, Trouble};
use super::{Limits, Mode, Relay};
use crate::observe::metrics::Metrics;
use crate::relay::encode::{Encoder, Format};
use crate::relay::sink::Sink;
use scripted::{Counting, Full, Scripted};

fn relay<S: Sink>(outbox: &Scripted, sink: S, in_flight: usize) -> Relay<&Scripted, S> {
    let encoder = Encoder {
        template: "s".parse().expect("a template"),
        format: Format::Fields,
        event_bytes_max: 100,
        source: Bytes::new(),
    };
    let observer = Arc::new(Metrics::new().expect("metrics").outbox("test"));
    let limits = Limits {
        in_flight,
        poll_interval: Duration::from_secs(1),
        linger: Duration::ZERO,
        park_max: None,
    };
    Relay::new("test", outbox, sink, encoder, limits, observer)
}

/// A claim that may still be open hides its rows: the next claims would take what follows them, and
/// nobody would know.
#[tokio::test]
async fn a_rollback_without_an_answer_is_a_doubt_although_nothing_was_appended() {
    let outbox = Scripted::new("R");
    let relay = relay(&outbox, Full::default(), 2);
    let outcome = relay.deliver_once(&Session::new(1, 1), &CancellationToken::new()).await;
    assert!(matches!(outcome, Err(Trouble::Doubt { cause: Cause::Postgres, .. })), "{outcome:?}");
}

/// What a claim has written down for its rows may be taken back only then.
#[tokio::test]
async fn a_claim_is_said_not_to_be_appended_only_if_that_is_certain() {
    for (unanswered, said) in [(false, 1), (true, 0)] {
        let outbox = Scripted::new("F");
        let relay = relay(&outbox, Full { unanswered, ..Full::default() }, 1);
        let outcome = relay.deliver_once(&Session::new(1, 1), &CancellationToken::new()).await;
        let is_doubt = matches!(outcome, Err(Trouble::Doubt { cause: Cause::Unanswered, .. }));
        assert_eq!(is_doubt, unanswered, "{outcome:?}");
        assert_eq!(outbox.not_appended.load(Ordering::Relaxed), said);
    }
}

/// Found by a review: a stream whose first event could not be claimed was asked for again at once,
/// and no other stream was claimed.
#[tokio::test]
async fn a_parked_stream_of_which_nothing_is_known_waits_and_stops_nobody() {
    let outbox = Scripted::new("R");
    outbox.later.store(true, Ordering::Relaxed);
    let relay = relay(&outbox, Full::default(), 1);
    let long_ago = Instant::now().checked_sub(Duration::from_mins(1)).expect("a minute ago");
    relay.parked().park("events.stock", long_ago);
    assert!(relay.claim_once().await.expect("a claim").is_some(), "of the others");
    assert_eq!(relay.parked().names(), ["events.stock"]);
    assert!(relay.parked().due().is_empty(), "not before its next pause is over");
    assert_eq!(outbox.rewinds.load(Ordering::Relaxed), 0);
}

/// Found on real servers under load: sessions terminated while batches were in flight, and an event
/// was doubled.
#[tokio::test]
async fn a_row_that_a_failed_settle_let_go_is_not_appended_again() {
    let appended = Arc::new(AtomicUsize::new(0));
    let outbox = Scripted::new("FW");
    let relay = relay(&outbox, Counting(Arc::clone(&appended)), 2);
    let outcome = relay.drain(&Session::new(1, 1), Mode::Daemon, &CancellationToken::new()).await;
    assert!(matches!(outcome, Err(Trouble::Doubt { cause: Cause::Postgres, .. })), "{outcome:?}");
    assert_eq!(appended.load(Ordering::Relaxed), 1, "appended again");
}

/// Found on real servers under load: a probe of a parked stream was refused, and a recovery
/// followed for no reason.
#[tokio::test]
async fn a_row_that_a_failed_batch_let_go_is_no_doubt_for_the_claim_that_meets_it() {
    let outbox = Scripted::new("FA");
    let outcome = relay(&outbox, Full::default(), 2)
        .drain(&Session::new(1, 1), Mode::Daemon, &CancellationToken::new())
        .await;
    assert_eq!(outcome, Err(Trouble::Unavailable("OOM".to_owned())));
    assert_eq!(outbox.calls(), "FA", "both have claimed");
    let outbox = Scripted::new("I");
    let outcome = relay(&outbox, Full::default(), 2)
        .drain(&Session::new(1, 1), Mode::Daemon, &CancellationToken::new())
        .await;
    assert!(
        matches!(outcome, Err(Trouble::Doubt { cause: Cause::InFlight, .. })),
        "{outcome:?}: nothing has failed"
    );
}

/// The fence would keep all other members from claiming for as long as Redis is waited for.
#[tokio::test]
async fn no_recovery_is_begun_while_redis_is_silent() {
    let outbox = Scripted::new("");
    let relay = relay(&outbox, Full { silent: Some(outbox.stop.clone()), ..Full::default() }, 1);
    relay.run(Mode::Daemon, &outbox.stop).await;
    assert!(outbox.stop.is_cancelled(), "it was not asked");
    assert_eq!(outbox.calls(), "");
}

/// Found by a fault run: a stream took its events again while a claim was on its way that had left
/// it out. That claim started at the beginning for its sake and went past its rows, so that later
/// rows of the stream overtook them.
#[tokio::test]
async fn a_claim_that_left_out_a_stream_which_takes_its_events_again_is_not_the_last_word() {
    for (script, calls) in [("W", "W"), ("ER", "ER")] {
        let outbox = Scripted::new(script);
        let relay = relay(&outbox, Full::default(), 1);
        relay.parked().park("events.stock", Instant::now());
        let takes = async {
            relay.parked().took(["events.stock"].into_iter());
            outbox.let_go.notify_one();
        };
        let (claim, ()) = tokio::join!(relay.claim_once(), takes);
        assert!(claim.expect("a claim").is_some(), "{script}: another claim finds what was left");
        assert_eq!((outbox.calls().as_str(), outbox.rewinds.load(Ordering::Relaxed)), (calls, 1));
    }
    let outbox = Scripted::new("R");
    let parked = relay(&outbox, Full::default(), 1);
    parked.parked().park("events.stock", Instant::now());
    assert!(parked.claim_once().await.expect("a claim").is_some());
    assert_eq!(outbox.rewinds.load(Ordering::Relaxed), 0, "it is parked as before");
    // Nothing waits for it any more: the list of this claim was read before that was known.
    let outbox = Scripted::new("R");
    let relay = relay(&outbox, Full::default(), 1);
    let long_ago = Instant::now().checked_sub(Duration::from_mins(1)).expect("a minute ago");
    relay.parked().park("events.stock", long_ago);
    assert!(relay.claim_once().await.expect("a claim").is_some());
    assert_eq!(outbox.rewinds.load(Ordering::Relaxed), 2, "before the claim, and after it");
}
