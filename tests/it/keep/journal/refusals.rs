//! What a stream refuses becomes a piece of its own; what Redis refuses as a whole leaves nothing.

use outflow::relay::sink::{AppendError, Sink as _};

use super::{Scene, at, ids, passage};

/// A stream that takes one more entry, and no further one.
async fn nearly_exhausted(scene: &Scene, stream: &str) {
    let last = "18446744073709551615-18446744073709551614";
    scene.call("XADD", &[stream, last, "id", "0"]).await;
}

#[tokio::test]
async fn a_refusal_of_the_first_event_starts_where_the_batch_did() {
    for (from, expected) in [("", "5|1:1:|9:9:||7|77"), ("4", "5|1:1:|9:9:|4|7|77")] {
        let scene = Scene::new().await;
        let member = scene.begun("start").await;
        scene.call("SET", &["w", "text"]).await;
        let mut passage = passage("after");
        from.clone_into(&mut passage.from);
        let events = [(10, "w"), (20, "a"), (30, "w")];
        let refused = member.append(at(1, 1), &passage, &events).await.expect("appended");
        let streams: Vec<_> = refused.iter().map(|refusal| refusal.stream.as_str()).collect();
        assert_eq!(streams, ["w"]);
        assert!(refused[0].message.starts_with("WRONGTYPE"), "{refused:?}");
        assert_eq!(ids(&scene.redis, "a").await, ["20"]);
        assert_eq!(member.pieces().await, format!("after\n{expected}"));
        scene.redis.close().await;
    }
}

/// Its first entries are appended, and the piece starts behind the event before the refused one,
/// whichever stream that was for, or none.
#[tokio::test]
async fn a_refusal_of_a_later_event_starts_behind_the_one_before() {
    let table: [(&[(i64, &str)], &str); 4] = [
        (&[(10, "a"), (20, "b"), (30, "a"), (40, "b"), (50, "b")], "+0000000000000000030"),
        (&[(10, "b"), (20, ""), (30, "b")], "+0000000000000000020"),
        (&[(-7, "b"), (-5, "b"), (i64::MAX, "b")], "-0000000000000000007"),
        (&[(i64::MIN, "b"), (0, "b")], "-9223372036854775808"),
    ];
    for (events, from) in table {
        let scene = Scene::new().await;
        let member = scene.begun("start").await;
        nearly_exhausted(&scene, "b").await;
        let refused = member.append(at(1, 1), &passage("after"), events).await.expect("appended");
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert_eq!(ids(&scene.redis, "b").await.len(), 2, "the one before, and its first");
        let of_a = events.iter().filter(|(_, stream)| *stream == "a").count();
        assert_eq!(ids(&scene.redis, "a").await.len(), of_a);
        assert_eq!(member.pieces().await, format!("after\n5|1:1:|9:9:|{from}|7|62"));
        scene.redis.close().await;
    }
}

/// Order values need not be unique: all events with the refused one's are read again.
#[tokio::test]
async fn a_refusal_among_equal_order_values_starts_below_them() {
    let scene = Scene::new().await;
    let member = scene.begun("start").await;
    scene.call("SET", &["w", "text"]).await;
    let events = [(10, "a"), (20, "a"), (20, "w"), (20, "w")];
    member.append(at(1, 1), &passage("after"), &events).await.expect("appended");
    assert_eq!(member.pieces().await, "after\n5|1:1:|9:9:|+0000000000000000010|7|77");
    scene.redis.close().await;
}

/// Nothing has happened: the position stays, and only the number of the batch counts.
#[tokio::test]
async fn what_every_stream_refuses_moves_nothing() {
    let scene = Scene::new().await;
    let member = scene.begun("start").await;
    for stream in ["v", "w"] {
        scene.call("SET", &[stream, "text"]).await;
    }
    let mut one = passage("one");
    for batch in 1..=2 {
        let refused = member.append(at(1, batch), &one, &[(1, "v"), (2, "w")]).await;
        let Err(AppendError::Refused(refused)) = refused else { panic!("{refused:?}") };
        let streams: Vec<_> = refused.iter().map(|refusal| refusal.stream.as_str()).collect();
        assert_eq!(streams, ["v", "w"]);
        assert_eq!(member.pieces().await, "start");
        assert_eq!(member.sink.last_batch(1, 1).await, Ok(Some(batch)));
        one.of_stream = true;
    }
    assert_eq!(member.append(at(1, 3), &passage("after"), &[(3, "a")]).await, Ok(Vec::new()));
    assert_eq!(member.pieces().await, "after");
    scene.redis.close().await;
}

#[tokio::test]
async fn a_piece_of_a_single_stream_is_replaced_if_it_refuses_and_only_then() {
    let scene = Scene::new().await;
    let member = scene.begun("start").await;
    let mut of_stream = passage("after");
    of_stream.rest = "rest".to_owned();
    of_stream.of_stream = true;
    member.append(at(1, 1), &of_stream, &[(1, "a")]).await.expect("appended");
    assert_eq!(member.pieces().await, "rest\nafter");
    scene.call("DEL", &["a"]).await;
    nearly_exhausted(&scene, "a").await;
    member.append(at(1, 2), &of_stream, &[(2, "a"), (3, "a")]).await.expect("moved");
    assert_eq!(member.pieces().await, "rest\n5|1:1:|9:9:|+0000000000000000002|7|61");
    scene.redis.close().await;
}

/// A server that is full, read-only or without its replicas refuses the first write; the same batch
/// goes through afterwards.
#[tokio::test]
async fn what_redis_refuses_as_a_whole_leaves_nothing_behind() {
    let port = outflow_local::free_port().expect("a port").to_string();
    let table: [(&str, &'static str, &[&str], &[&str]); 3] = [
        ("OOM", "CONFIG", &["SET", "maxmemory", "1"], &["SET", "maxmemory", "0"]),
        ("READONLY", "REPLICAOF", &["127.0.0.1", &port], &["NO", "ONE"]),
        (
            "NOREPLICAS",
            "CONFIG",
            &["SET", "min-replicas-to-write", "1"],
            &["SET", "min-replicas-to-write", "0"],
        ),
    ];
    let mut ran = 0;
    for (code, command, breaks, mends) in table {
        let scene = Scene::new().await;
        let member = scene.begun("start").await;
        let before = scene.fields(&member).await;
        scene.call(command, breaks).await;
        let asked = member.sink.is_ready(at(1, 1)).await;
        let refused = member.append(at(1, 1), &passage("one"), &[(1, "a")]).await;
        let installed = member.journal.install(1, "7:1", &[(1, "x".to_owned())]).await;
        assert!(installed.is_err(), "{code}");
        for refused in [asked.map(|()| Vec::new()), refused] {
            let Err(AppendError::Unavailable(words)) = refused else { panic!("{refused:?}") };
            assert!(words.contains(code), "{words}");
        }
        assert_eq!((scene.fields(&member).await, scene.length("a").await), (before, 0), "{code}");
        scene.call(command, mends).await;
        let appended = member.append(at(1, 1), &passage("one"), &[(1, "a")]).await;
        assert_eq!(appended, Ok(Vec::new()), "{code}");
        assert_eq!(member.pieces().await, "one", "{code}");
        scene.redis.close().await;
        ran += 1;
    }
    assert_eq!(ran, 3);
}

/// An installation that is refused leaves the old pieces for the next raise.
#[tokio::test]
async fn a_refused_installation_keeps_the_pieces() {
    let scene = Scene::new().await;
    let member = scene.begun("start").await;
    member.journal.raise(0).await.expect("a generation");
    let before = scene.fields(&member).await;
    scene.call("CONFIG", &["SET", "maxmemory", "1"]).await;
    let refused = member.journal.install(2, "8:1", &[(2, "x".to_owned())]).await;
    assert!(refused.as_ref().is_err_and(|words| words.contains("OOM")), "{refused:?}");
    assert_eq!(scene.fields(&member).await, before);
    scene.call("CONFIG", &["SET", "maxmemory", "0"]).await;
    let kept = member.journal.raise(0).await.expect("a generation").kept.expect("pieces");
    assert_eq!(kept.members, [(1, "start".to_owned())]);
    scene.redis.close().await;
}
