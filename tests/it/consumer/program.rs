//! order-consumer, the real binary over real servers: each effect once, nothing lost, whatever dies
//! in between.

use outflow_local::eventually;
use uuid::Uuid;

use super::{LIMIT, STREAM, Scene, about, session, text};
use crate::support::program;

#[tokio::test]
async fn the_group_starts_at_the_beginning_and_each_effect_is_made_once() {
    let scene = Scene::new().await;
    // Before the group exists.
    let event_id = Uuid::now_v7();
    scene.order(event_id, "OrderCreated", &[("b", 2), ("a", 1), ("b", 3)]).await;
    scene.order(event_id, "OrderCreated", &[("b", 2), ("a", 1), ("b", 3)]).await;
    scene.order(Uuid::now_v7(), "OrderShipped", &[("b", 100)]).await;
    let consumer = scene.start("one", &[]);
    scene.until_reserved("b", 5).await;
    scene.tell(event_id, Uuid::now_v7(), "OrderCancelled", &[]).await;
    scene.until_reserved("b", 0).await;
    scene.until_none_pending().await;
    assert_eq!(scene.reserved("a").await, Some(0));
    let counts = [
        ("handled_total", 2.0),
        ("duplicates_total", 1.0),
        ("ignored_total", 1.0),
        ("dead_lettered_total", 0.0),
        ("event_age_seconds_count", 2.0),
    ];
    for (name, expected) in counts {
        assert_eq!(consumer.metric(name).await, Some(expected), "{name}");
    }
    consumer.stop().await;
}

#[tokio::test]
async fn a_crash_between_effect_and_acknowledgement_makes_the_effect_once() {
    let scene = Scene::new().await;
    let mut consumer = scene.ready("one", &[]).await;
    scene.reserve("a", 1).await;
    scene.until_reserved("a", 1).await;
    scene.until_none_pending().await;

    scene.lock("a").await;
    let event_id = scene.reserve("a", 10).await;
    scene.until_somebody_waits().await;
    // From here on the effect can be committed, but not acknowledged.
    scene.call("CLIENT", &["PAUSE", "60000", "WRITE"]).await;
    scene.db.batch_execute("commit").await.expect("an unlock");
    scene.until_reserved("a", 11).await;
    let handled =
        scene.db.query("select 1 from orders.inbox where event_id = $1", &[&event_id]).await;
    assert_eq!(handled.expect("an answer").len(), 1);
    consumer.program.kill();
    let alone = async || text(&scene.call("CLIENT", &["LIST"]).await).lines().count() == 1;
    eventually(LIMIT, "Redis to drop the dead consumer's connections", alone)
        .await
        .expect("in time");
    scene.call("CLIENT", &["UNPAUSE"]).await;
    assert_eq!(scene.pending().await, 1);

    let consumer = scene.start("one", &[]);
    scene.until_none_pending().await;
    consumer.until_metric("duplicates_total", 1.0).await;
    assert_eq!(consumer.metric("handled_total").await, Some(0.0));
    assert_eq!(scene.reserved("a").await, Some(11));
    consumer.stop().await;
}

#[tokio::test]
async fn poison_ends_in_the_dead_letter_stream_and_the_later_ones_are_handled() {
    let scene = Scene::new().await;
    let consumer = scene.ready("one", &["--attempts-max", "3"]).await;
    let trigger = "create function refuse() returns trigger language plpgsql as
        $$ begin if new.sku = 'poison' then raise exception 'not today'; end if; return new; end $$;
        create trigger refuse before insert on orders.inventory for each row execute function \
        refuse()";
    scene.db.batch_execute(trigger).await.expect("a trigger");
    let no_json = [
        "id",
        "01890000-0000-7000-8000-000000000000",
        "type",
        "OrderCreated",
        "key",
        "k",
        "time",
        "2026-01-02T03:04:05Z",
        "payload",
        "{\"half",
        "headers",
        "{}",
    ];
    let first = scene.add(&no_json).await;
    scene.add(&["what", "is this"]).await;
    scene.add(&["id", "7", "type", "OrderCreated", "payload", "{}"]).await;
    let refused = scene.order(Uuid::now_v7(), "OrderCreated", &[("poison", 1)]).await;
    scene.reserve("good", 1).await;
    scene.until_reserved("good", 1).await;
    scene.until_none_pending().await;

    // Those without a key are handled side by side, so sort them by where they came from.
    let mut dead = scene.dead().await;
    dead.sort_by_key(|fields| about(fields, "dead_entry_id"));
    assert_eq!(dead.len(), 4);
    assert_eq!(dead[0][..12], no_json);
    let names: Vec<&str> = dead[0][12..].iter().step_by(2).map(String::as_str).collect();
    let expected = [
        "dead_entry_id",
        "dead_stream",
        "dead_group",
        "dead_consumer",
        "dead_attempts",
        "dead_error",
        "dead_appended_at",
        "dead_at",
    ];
    assert_eq!(names, expected);
    let values = [
        ("dead_entry_id", first.as_str()),
        ("dead_stream", STREAM),
        ("dead_group", "inventory"),
        ("dead_consumer", "one"),
        ("dead_attempts", "1"),
    ];
    for (name, value) in values {
        assert_eq!(about(&dead[0], name), value, "{name}");
    }
    let errors = ["payload: EOF", "no field \"id\"", "missing field", "not today"];
    for (fields, error) in dead.iter().zip(errors) {
        assert!(about(fields, "dead_error").contains(error), "{error}: {fields:?}");
    }
    assert_eq!(dead[1][..2], ["what", "is this"]);
    assert_eq!(
        (about(&dead[3], "dead_entry_id"), about(&dead[3], "dead_attempts")),
        (refused, "3".to_owned())
    );
    let counts = [
        ("dead_lettered_total", 4.0),
        ("retried_total", 2.0),
        ("handled_total", 1.0),
        ("failed_total{group=\"inventory\",reason=\"permanent\"", 3.0),
        ("failed_total{group=\"inventory\",reason=\"retry\"", 3.0),
    ];
    for (name, expected) in counts {
        assert_eq!(consumer.metric(name).await, Some(expected), "{name}");
    }
    consumer.stop().await;
}

#[tokio::test]
async fn an_entry_too_wide_for_lua_is_dead_lettered_with_its_beginning() {
    let scene = Scene::new().await;
    let values: Vec<String> = (0..10_000).map(|number| format!("v{number}")).collect();
    let fields: Vec<&str> = values.iter().map(String::as_str).collect();
    scene.add(&fields).await;
    let consumer = scene.start("one", &[]);
    eventually(LIMIT, "the dead letter", async || scene.dead().await.len() == 1)
        .await
        .expect("in time");
    let dead = &scene.dead().await[0];
    assert_eq!(dead[..6_000], values[..6_000]);
    assert_eq!(dead[dead.len() - 2..], ["dead_values_left_out", "4000"]);
    consumer.stop().await;
}

#[tokio::test]
async fn several_may_start_at_once_on_an_empty_database() {
    let scene = Scene::new().await;
    let consumers = [scene.start("one", &[]), scene.start("two", &[]), scene.start("three", &[])];
    for consumer in &consumers {
        consumer.until_ready().await;
        assert!(
            !consumer.program.log().contains("cannot create the tables"),
            "{}",
            consumer.program.log()
        );
    }
    for number in 0..50 {
        scene.reserve("a", 1 + number % 3).await;
    }
    scene.until_reserved("a", 99).await;
    scene.until_none_pending().await;
    for consumer in consumers {
        consumer.stop().await;
    }
}

#[tokio::test]
async fn attempts_are_counted_by_redis_over_all_consumers() {
    let scene = Scene::new().await;
    scene.call("XGROUP", &["CREATE", STREAM, "inventory", "0", "MKSTREAM"]).await;
    scene.add(&["id", "1", "type", "OrderCreated", "payload", "{}"]).await;
    let deadly = scene.add(&["id", "2", "type", "OrderCreated", "payload", "{}"]).await;
    scene.call("XREADGROUP", &["GROUP", "inventory", "one", "STREAMS", STREAM, ">"]).await;
    // Three attempts that ended in a crash.
    scene
        .call("XCLAIM", &[STREAM, "inventory", "one", "0", &deadly, "RETRYCOUNT", "3", "JUSTID"])
        .await;
    let consumer = scene.start("one", &["--attempts-max", "3"]);
    let two = async || scene.dead().await.len() == 2;
    eventually(LIMIT, "both to be dead-lettered", two).await.expect("in time");
    // Neither has a key: they are handled side by side.
    let dead = scene.dead().await;
    let of = |event: &str| dead.iter().find(|fields| fields[1] == event).expect("its letter");
    let attempts = |fields: &[String]| about(fields, "dead_attempts");
    assert_eq!((attempts(of("1")), attempts(of("2"))), ("2".to_owned(), "3".to_owned()));
    assert!(about(of("2"), "dead_error").contains("the consumer was killed"), "{dead:?}");
    consumer.stop().await;
}

#[tokio::test]
async fn a_full_redis_leaves_the_poison_pending() {
    let scene = Scene::new().await;
    let consumer = scene.ready("one", &[]).await;
    scene.reserve("a", 1).await;
    scene.until_reserved("a", 1).await;
    scene.lock("a").await;
    scene.reserve("a", 1).await;
    // Of the same key, so that its turn comes when Redis is full.
    scene.add(&["key", &Uuid::nil().to_string(), "what", "is this"]).await;
    scene.until_somebody_waits().await;
    scene.call("CONFIG", &["SET", "maxmemory", "1"]).await;
    scene.db.batch_execute("commit").await.expect("an unlock");
    // A sign of life is refused as well, maybe before the entry in hand is acknowledged.
    let one_is_left = async || scene.pending().await == 1;
    eventually(LIMIT, "the entry in hand to be acknowledged", one_is_left).await.expect("in time");
    consumer.until_unready("OOM").await;
    assert_eq!((scene.pending().await, scene.dead().await.len()), (1, 0));
    scene.call("CONFIG", &["SET", "maxmemory", "0"]).await;
    scene.until_none_pending().await;
    assert_eq!((scene.dead().await.len(), scene.reserved("a").await), (1, Some(2)));
    consumer.until_ready().await;
    consumer.stop().await;
}

#[tokio::test]
async fn a_dead_consumers_entry_is_taken_over_and_a_live_ones_is_not() {
    let scene = Scene::new().await;
    let mut one = scene.ready("one", &["--claim-idle", "3s"]).await;
    scene.reserve("a", 1).await;
    scene.until_reserved("a", 1).await;
    scene.lock("a").await;
    scene.reserve("a", 10).await;
    scene.until_somebody_waits().await;
    // Counted before the handler begins, so that one that kills its consumer uses up its attempts.
    let (owner, _, attempts) = scene.first_pending().await.expect("the entry");
    assert_eq!((owner.as_str(), attempts), ("one", 1));
    let two = scene.ready("two", &["--claim-idle", "3s"]).await;
    // Four signs of life take longer than claim_idle; the other one looks twice in that time.
    let (mut signs, mut idle_before) = (0, 0);
    let alive = async || {
        let (owner, idle, attempts) = scene.first_pending().await.expect("the entry");
        assert_eq!(owner, "one");
        // A wait for a lock that takes five seconds is given up, and does not count.
        assert!(attempts <= 1, "{attempts}");
        signs += i32::from(idle < idle_before);
        idle_before = idle;
        signs >= 4
    };
    eventually(LIMIT, "four signs of life", alive).await.expect("in time");
    assert_eq!(two.metric("reclaimed_total").await, Some(0.0));

    scene.until_a_wait_is_younger_than("2s").await;
    one.program.kill();
    scene.db.batch_execute("commit").await.expect("an unlock");
    scene.until_reserved("a", 11).await;
    scene.until_none_pending().await;
    assert_eq!(
        (two.metric("reclaimed_total").await, two.metric("retried_total").await),
        (Some(1.0), Some(1.0))
    );
    assert_eq!(scene.reserved("a").await, Some(11));
    two.stop().await;
}

#[tokio::test]
async fn entries_deleted_from_the_stream_do_not_stay_pending() {
    let scene = Scene::new().await;
    scene.call("XGROUP", &["CREATE", STREAM, "inventory", "0", "MKSTREAM"]).await;
    for owner in ["one", "gone"] {
        let id = scene.add(&["what", "is this"]).await;
        scene.call("XREADGROUP", &["GROUP", "inventory", owner, "STREAMS", STREAM, ">"]).await;
        scene.call("XDEL", &[STREAM, &id]).await;
    }
    assert_eq!(scene.pending().await, 2);
    let consumer = scene.start("one", &["--claim-idle", "10ms"]);
    scene.until_none_pending().await;
    assert_eq!(scene.dead().await.len(), 0);
    consumer.stop().await;
}

#[tokio::test]
async fn redis_may_be_away_at_the_start_restart_and_lose_everything() {
    let mut scene = Scene::new().await;
    scene.redis.kill().await.expect("its end");
    let consumer = scene.start("one", &[]);
    let outages = || consumer.program.log().matches("not available; trying until it is").count();
    eventually(LIMIT, "the outage to be logged", async || outages() == 1).await.expect("in time");
    consumer.until_unready("Redis").await;
    scene.redis.start_again().await.expect("a start");
    consumer.until_ready().await;
    scene.client.ready(LIMIT).await.expect("a connection");
    scene.reserve("a", 1).await;
    scene.until_reserved("a", 1).await;

    scene.redis.kill().await.expect("its end");
    consumer.until_unready("Redis").await;
    scene.redis.start_again().await.expect("a start");
    scene.client.ready(LIMIT).await.expect("a connection");
    scene.reserve("a", 10).await;
    scene.until_reserved("a", 11).await;
    scene.until_none_pending().await;

    // While it waits in a blocking read.
    scene.call("FLUSHALL", &[]).await;
    scene.reserve("a", 100).await;
    scene.until_reserved("a", 111).await;
    scene.until_none_pending().await;
    assert_eq!(outages(), 2, "{}", consumer.program.log_tail());
    consumer.stop().await;
}

#[tokio::test]
async fn an_outage_of_postgres_uses_up_no_attempts() {
    let mut scene = Scene::new().await;
    let consumer = scene.ready("one", &["--attempts-max", "1"]).await;
    scene.postgres.stop_immediate().await.expect("a crash");
    scene.reserve("a", 1).await;
    consumer.until_metric("failed_total{group=\"inventory\",reason=\"unavailable\"", 3.0).await;
    consumer.until_unready("handler").await;
    // A stop in the outage leaves the entry as if it had not been tried.
    consumer.stop().await;
    let (owner, _, attempts) = scene.first_pending().await.expect("the entry");
    assert_eq!((owner.as_str(), attempts), ("one", 0));

    let consumer = scene.start("one", &["--attempts-max", "1"]);
    consumer.until_metric("failed_total{group=\"inventory\",reason=\"unavailable\"", 2.0).await;
    scene.postgres.start_again().await.expect("a start");
    scene.db = session(&scene.postgres).await;
    scene.until_reserved("a", 1).await;
    scene.until_none_pending().await;
    assert_eq!(scene.dead().await.len(), 0);
    consumer.until_ready().await;
    consumer.stop().await;
}

#[tokio::test]
async fn a_stop_finishes_the_entry_in_hand_and_leaves_the_rest_untouched() {
    let scene = Scene::new().await;
    let consumer = scene.ready("one", &[]).await;
    scene.reserve("a", 1).await;
    scene.until_reserved("a", 1).await;
    consumer.stop().await;
    scene.lock("a").await;
    scene.reserve("a", 10).await;
    scene.reserve("a", 100).await;
    // One batch of two.
    let mut consumer = scene.start("one", &[]);
    scene.until_somebody_waits().await;
    consumer.program.terminate();
    eventually(LIMIT, "the stop", async || {
        consumer.program.log().contains("received a stop signal")
    })
    .await
    .expect("in time");
    scene.db.batch_execute("commit").await.expect("an unlock");
    assert!(
        consumer.program.wait(LIMIT).await.expect("its end").success(),
        "{}",
        consumer.program.log_tail()
    );
    assert_eq!((scene.reserved("a").await, scene.pending().await), (Some(11), 1));
    let (owner, _, attempts) = scene.first_pending().await.expect("the second entry");
    assert_eq!((owner.as_str(), attempts), ("one", 0));
    let consumer = scene.start("one", &[]);
    scene.until_reserved("a", 111).await;
    consumer.stop().await;
}

#[tokio::test]
async fn bad_options_are_refused_without_printing_a_secret() {
    let (redis, postgres) = ("redis://:s3cret@127.0.0.1:1", "postgres://u:s3cret@127.0.0.1:1/d");
    let rows: [(&[&str], i32, &str); 10] = [
        (&["--postgres-url", postgres], 2, "--redis-url"),
        (&["--redis-url", redis], 2, "--postgres-url"),
        (&["--redis-url", "http://:s3cret@h", "--postgres-url", postgres], 78, "expected redis://"),
        (&["--redis-url", redis, "--postgres-url", "s3cret"], 78, "expected postgres://"),
        (
            &["--redis-url", redis, "--postgres-url", postgres, "--attempts-max", "0"],
            2,
            "--attempts-max",
        ),
        (
            &["--redis-url", redis, "--postgres-url", postgres, "--claim-idle", "1"],
            2,
            "--claim-idle",
        ),
        (
            &["--redis-url", redis, "--postgres-url", postgres, "--dead-letter-stream", STREAM],
            78,
            "--dead-letter-stream",
        ),
        (&["--redis-url", redis, "--postgres-url", postgres, "--rate-limit", "1"], 2, "100/s"),
        (
            &["--redis-url", redis, "--postgres-url", postgres, "--rate-limit", "0/s"],
            78,
            "--rate-limit is 0 events in 1s; expected 1 to 1000000",
        ),
        (
            &["--redis-url", redis, "--postgres-url", postgres, "--type-limit", "OrderCreate=1"],
            78,
            "expected one of OrderCreated, OrderCancelled, PaymentFailed",
        ),
    ];
    for (args, code, expected) in rows {
        let output = std::process::Command::new(program("order-consumer"))
            .args(args)
            .output()
            .expect("a run");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(expected) && !text.contains("s3cret"), "{args:?}: {text}");
    }
}
