//! Several entries in one call of the handler: who shares one, and that nobody pays for another's
//! failure.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use outflow_consumer::{Consumer, Ended, Entry, Handled, Handler, HandlerError, Settings};
use outflow_local::eventually;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{LIMIT, STREAM, Scene, about};

/// What a handler was called with: key, event id and attempts of each entry.
type Calls = Arc<Mutex<Vec<Vec<(String, String, u32)>>>>;

/// Notes its calls. The type of an entry says what goes wrong: with it alone, or with a call that
/// it shares.
#[derive(Clone)]
struct Crowd {
    /// With several entries.
    together: Calls,
    /// With one entry: those whose effect was made.
    alone: Calls,
    gate: Arc<Semaphore>,
}

impl Crowd {
    fn new() -> Self {
        Self {
            together: Calls::default(),
            alone: Calls::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    fn note(calls: &Calls, entries: &[Entry]) {
        let call = entries
            .iter()
            .map(|entry| (entry.key.clone(), entry.event_id.to_string(), entry.attempts))
            .collect();
        calls.lock().push(call);
    }

    fn calls(calls: &Calls) -> Vec<Vec<(String, String, u32)>> {
        calls.lock().clone()
    }
}

impl Handler for Crowd {
    async fn handle(&self, entry: &Entry) -> Result<Handled, HandlerError> {
        match entry.event_type.as_str() {
            "Poison" => return Err(HandlerError::retry("poison")),
            "Never" => return Err(HandlerError::permanent("never")),
            _ => {}
        }
        Self::note(&self.alone, std::slice::from_ref(entry));
        Ok(Handled::Done)
    }

    async fn handle_many(&self, entries: &[Entry]) -> Vec<Option<Result<Handled, HandlerError>>> {
        Self::note(&self.together, entries);
        let has = |kind: &str| entries.iter().any(|entry| entry.event_type == kind);
        assert!(!has("Panic"), "as it was told");
        if has("Hold") {
            self.gate.acquire().await.expect("never closed").forget();
        }
        if has("Short") {
            return vec![Some(Ok(Handled::Done))];
        }
        if has("Poison") || has("Hold") {
            return vec![None; entries.len()];
        }
        let outcome = |entry: &Entry| match entry.event_type.as_str() {
            "Never" => Err(HandlerError::permanent("never")),
            _ => Ok(Handled::Done),
        };
        entries.iter().map(|entry| Some(outcome(entry))).collect()
    }
}

/// A consumer with one worker.
fn start(scene: &Scene, crowd: &Crowd) -> (CancellationToken, JoinHandle<Ended>) {
    let settings = Settings::builder(STREAM, "inventory", "one")
        .workers(1)
        .handle_batch(4)
        .attempts_max(2)
        .retry_delay(Duration::from_millis(10))
        .build()
        .expect("settings");
    let consumer = Consumer::open(scene.redis.url(), settings, crowd.clone()).expect("an address");
    let stop = CancellationToken::new();
    (stop.clone(), tokio::spawn(consumer.run(stop)))
}

async fn stop((stop, task): (CancellationToken, JoinHandle<Ended>)) {
    stop.cancel();
    let ended = tokio::time::timeout(LIMIT, task).await.expect("its end");
    assert_eq!(ended.expect("no panic"), Ended::Stopped);
}

async fn event(scene: &Scene, key: &str, id: &str, kind: &str) {
    scene.add(&["id", id, "type", kind, "key", key, "payload", "{}"]).await;
}

#[tokio::test]
async fn a_call_has_different_keys_and_one_that_fails_costs_the_others_nothing() {
    let (scene, crowd) = (Scene::new().await, Crowd::new());
    let kinds = BTreeMap::from([(7, "Poison"), (13, "Never"), (14, "Poison"), (30, "Never")]);
    for number in 0..60 {
        let kind = kinds.get(&number).copied().unwrap_or("Plain");
        event(&scene, &format!("k{}", number % 11), &format!("{number:02}"), kind).await;
    }
    let running = start(&scene, &crowd);
    let dead = async || scene.dead().await.len() == kinds.len();
    eventually(LIMIT, "the dead letters", dead).await.expect("in time");
    scene.until_none_pending().await;
    stop(running).await;

    let (together, alone) = (Crowd::calls(&crowd.together), Crowd::calls(&crowd.alone));
    assert!(together.iter().all(|call| (2..=4).contains(&call.len())), "{together:?}");
    assert!(
        together.iter().flatten().all(|(_, _, attempts)| *attempts == 1),
        "alone once it failed: {together:?}"
    );
    for call in &together {
        let keys: HashSet<_> = call.iter().map(|(key, ..)| key).collect();
        assert_eq!(keys.len(), call.len(), "{call:?}");
    }
    // Those that shared a call with poison were handled alone next; all in their first attempt.
    assert!(
        !alone.is_empty() && alone.iter().flatten().all(|(_, _, attempts)| *attempts == 1),
        "{alone:?}"
    );
    let poisonous =
        |call: &&Vec<(String, String, u32)>| call.iter().any(|(_, id, _)| id == "07" || id == "14");
    let (undone, done): (Vec<_>, Vec<_>) = together.iter().partition(poisonous);
    assert!(!undone.is_empty());
    let done = done.into_iter().chain(&alone).flatten();
    let done: Vec<_> =
        done.map(|(_, id, _)| id.as_str()).filter(|id| !["13", "30"].contains(id)).collect();
    let distinct: BTreeSet<&str> = done.iter().copied().collect();
    assert_eq!((done.len(), distinct.len()), (56, 56), "each once: {done:?}");
    let letters = scene.dead().await;
    let attempts = |letter: &Vec<String>| (about(letter, "id"), about(letter, "dead_attempts"));
    let attempts: BTreeMap<String, String> = letters.iter().map(attempts).collect();
    let expected = [("07", "2"), ("13", "1"), ("14", "2"), ("30", "1")];
    assert_eq!(
        attempts,
        expected.map(|(id, attempts)| (id.to_owned(), attempts.to_owned())).into()
    );
}

#[tokio::test]
async fn the_order_of_each_key_is_kept() {
    let (scene, crowd) = (Scene::new().await, Crowd::new());
    for number in 0..90 {
        event(&scene, &format!("k{}", number % 7), &format!("{number:02}"), "Plain").await;
    }
    let running = start(&scene, &crowd);
    let all = async || {
        Crowd::calls(&crowd.together).iter().chain(&Crowd::calls(&crowd.alone)).flatten().count()
            == 90
    };
    eventually(LIMIT, "all to be handled", all).await.expect("in time");
    scene.until_none_pending().await;
    stop(running).await;
    // One worker: the calls follow one another, and what was handled alone came last of its key or
    // not at all.
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for (key, id, _) in Crowd::calls(&crowd.together).iter().flatten() {
        assert!(
            last.insert(key.clone(), id.clone()).is_none_or(|before| before < *id),
            "{key}: {id}"
        );
    }
    assert_eq!(last.len(), 7);
}

#[tokio::test]
async fn a_panic_or_an_answer_of_another_length_leaves_each_to_be_handled_alone() {
    let rows = ["Panic", "Short"];
    for kind in rows {
        let (scene, crowd) = (Scene::new().await, Crowd::new());
        for (key, kind) in [("a", "Plain"), ("b", kind), ("c", "Plain")] {
            event(&scene, key, key, kind).await;
        }
        let running = start(&scene, &crowd);
        let three = async || Crowd::calls(&crowd.alone).len() == 3;
        eventually(LIMIT, &format!("{kind}: each alone"), three).await.expect("in time");
        scene.until_none_pending().await;
        stop(running).await;
        let ids = |calls: &Calls| -> BTreeSet<(String, u32)> {
            Crowd::calls(calls)
                .into_iter()
                .flatten()
                .map(|(_, id, attempts)| (id, attempts))
                .collect()
        };
        let expected: BTreeSet<_> = ["a", "b", "c"].map(|id| (id.to_owned(), 1)).into();
        assert_eq!(
            (ids(&crowd.together), ids(&crowd.alone)),
            (expected.clone(), expected),
            "{kind}"
        );
        assert!(scene.dead().await.is_empty());
    }
}

#[tokio::test]
async fn a_stop_in_a_call_that_leaves_its_entries_undone_gives_them_back_untouched() {
    let (scene, crowd) = (Scene::new().await, Crowd::new());
    for key in ["a", "b", "c"] {
        event(&scene, key, key, "Hold").await;
    }
    let running = start(&scene, &crowd);
    let held = async || Crowd::calls(&crowd.together).len() == 1;
    eventually(LIMIT, "the call", held).await.expect("in time");
    assert_eq!(scene.first_pending().await.map(|(_, _, attempts)| attempts), Some(1));
    running.0.cancel();
    crowd.gate.add_permits(1);
    stop(running).await;
    assert!(Crowd::calls(&crowd.alone).is_empty());
    assert_eq!((scene.pending().await, scene.dead().await.len()), (3, 0));
    assert_eq!(
        scene.first_pending().await.map(|(_, _, attempts)| attempts),
        Some(0),
        "no attempt was made"
    );
}

/// An event about an order of its own, with a key of its own.
async fn order(scene: &Scene, event_id: Uuid, kind: &str, sku: &str) -> String {
    let (id, time) = (event_id.to_string(), "2026-01-02T03:04:05Z");
    let payload = json!({
        "event_id": id, "event_type": kind, "aggregate_id": id, "occurred_at": time, "order_id": id,
        "customer_id": "c", "total_amount": "1.00", "currency": "EUR",
        "items": [{ "sku": sku, "quantity": 1, "unit_price": "1.00" }],
    });
    let payload = if kind == "Malformed" { "{\"half".to_owned() } else { payload.to_string() };
    let kind = if kind == "Malformed" { "OrderCreated" } else { kind };
    let key = Uuid::now_v7().to_string();
    scene.add(&["id", &id, "type", kind, "key", &key, "time", time, "payload", &payload]).await
}

#[tokio::test]
async fn the_saga_makes_each_effect_once_whatever_shares_its_transaction() {
    let scene = Scene::new().await;
    let consumer = scene.ready("one", &["--workers", "1", "--attempts-max", "2"]).await;
    scene
        .db
        .batch_execute("insert into orders.inventory values ('scarce', 1, 0), ('plenty', 1000, 0)")
        .await
        .expect("stock");
    let refuse = "create function refuse() returns trigger language plpgsql as
        $$ begin if new.sku = 'poison' then raise exception 'not today'; end if; return new; end $$;
        create trigger refuse before insert on orders.inventory for each row execute function \
        refuse()";
    scene.db.batch_execute(refuse).await.expect("a trigger");
    consumer.stop().await;

    // Read all at once. Twenty that go well share their transaction with nothing else that does.
    let good: Vec<Uuid> = (0..20).map(|_| Uuid::now_v7()).collect();
    for event_id in &good {
        order(&scene, *event_id, "OrderCreated", "plenty").await;
    }
    let consumer = scene.ready("one", &["--workers", "1", "--attempts-max", "2"]).await;
    scene.until_reserved("plenty", 20).await;
    scene.until_none_pending().await;
    let transactions = "select count(distinct xmin::text) from orders.inbox";
    let count: i64 = scene.db.query_one(transactions, &[]).await.expect("a count").get(0);
    assert!(count < 20, "several in a transaction: {count}");
    consumer.stop().await;

    // Too little of something, poison, half an event, one that is none of its business, and two
    // that were handled before.
    for event_id in [good[3], good[4]] {
        order(&scene, event_id, "OrderCreated", "plenty").await;
    }
    for _ in 0..10 {
        order(&scene, Uuid::now_v7(), "OrderCreated", "plenty").await;
    }
    for sku in ["scarce", "scarce", "scarce"] {
        order(&scene, Uuid::now_v7(), "OrderCreated", sku).await;
    }
    let poison = order(&scene, Uuid::now_v7(), "OrderCreated", "poison").await;
    let half = order(&scene, Uuid::now_v7(), "Malformed", "plenty").await;
    order(&scene, Uuid::now_v7(), "OrderShipped", "plenty").await;
    let consumer = scene.ready("one", &["--workers", "1", "--attempts-max", "2"]).await;
    // Nothing is pending before the first read either: all 33 orders first, and the last letter.
    let decided = async || {
        let count = scene
            .db
            .query_one("select count(*) from orders.reservations", &[])
            .await
            .expect("a count");
        count.get::<_, i64>(0) == 33 && scene.dead().await.len() == 2
    };
    eventually(LIMIT, "all to be decided", decided).await.expect("in time");
    scene.until_none_pending().await;
    assert!(
        consumer.program.log().contains("could not handle the events in one transaction"),
        "{}",
        consumer.program.log_tail()
    );
    assert_eq!(
        (scene.reserved("plenty").await, scene.reserved("scarce").await),
        (Some(30), Some(1))
    );
    let told = "select event_type, count(*), count(distinct aggregate_id) from public.outbox \
        group by 1 order by 1";
    let told = scene.db.query(told, &[]).await.expect("counts");
    let told: Vec<(String, i64, i64)> =
        told.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let expected = [("StockRejected", 2, 2), ("StockReserved", 31, 31)];
    assert_eq!(told, expected.map(|(name, count, orders)| (name.to_owned(), count, orders)));
    let states = "select state, count(*) from orders.reservations group by 1 order by 1";
    let states = scene.db.query(states, &[]).await.expect("counts");
    let states: Vec<(String, i64)> = states.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(states, [("held".to_owned(), 31), ("rejected".to_owned(), 2)]);
    let letters: BTreeMap<String, String> = scene
        .dead()
        .await
        .iter()
        .map(|letter| (about(letter, "dead_entry_id"), about(letter, "dead_attempts")))
        .collect();
    assert_eq!(letters, BTreeMap::from([(poison, "2".to_owned()), (half, "1".to_owned())]));
    let counts = [
        ("handled_total", 13.0),
        ("duplicates_total", 2.0),
        ("ignored_total", 1.0),
        ("retried_total", 1.0),
    ];
    for (name, expected) in counts {
        assert_eq!(consumer.metric(name).await, Some(expected), "{name}");
    }
    consumer.stop().await;
}
