//! Who may append, and what an append leaves behind.

use bytes::Bytes;
use outflow::relay::event::Acknowledged;
use outflow::relay::sink::{AppendError, Sink as _};
use outflow_connect::redis::{Args, Reply};
use outflow_local::{RedisCluster, redis_client};

use super::{Scene, at, below, ids, member_of, passage};
use crate::support::LIMIT;

/// A state of Redis to go back to.
struct Dump(Vec<(String, Bytes)>);

impl Dump {
    async fn of(scene: &Scene) -> Self {
        let mut keys = Vec::new();
        for key in scene.call("KEYS", &["*"]).await.items() {
            let key = key.string().expect("a name");
            let dump = scene.call("DUMP", &[&key]).await;
            keys.push((key, dump.text().expect("a dump").clone()));
        }
        assert!(!keys.is_empty(), "nothing to go back to");
        Self(keys)
    }

    async fn restore(&self, scene: &Scene) {
        scene.call("FLUSHALL", &[]).await;
        for (key, dump) in &self.0 {
            let mut args = Args::from([key.as_str(), "0"]);
            args.push(dump.clone());
            scene.redis.call("RESTORE", args).await.expect("restored");
        }
    }
}

#[tokio::test]
async fn entries_and_position_move_together() {
    let scene = Scene::new().await;
    let member = scene.begun("start").await;
    let events = [(10, "a"), (20, "b"), (30, "a")];
    assert_eq!(member.append(at(1, 1), &passage("one"), &events).await, Ok(Vec::new()));
    assert_eq!(ids(&scene.redis, "a").await, ["10", "30"]);
    assert_eq!(ids(&scene.redis, "b").await, ["20"]);
    assert_eq!(member.pieces().await, "one");

    let mut next = passage("two");
    next.rest = "x\ny".to_owned();
    // All rows of it went to the dead letters.
    assert_eq!(member.append(at(1, 2), &next, &[(40, "")]).await, Ok(Vec::new()));
    assert_eq!(member.pieces().await, "x\ny\ntwo");
    let entered = member.journal.enter(1, 1).await.expect("pieces");
    assert_eq!((entered.batch, entered.pieces.as_str()), (2, "x\ny\ntwo"));
    scene.redis.close().await;
}

#[tokio::test]
async fn a_confirmed_copy_is_written_with_the_next_batch_or_look_and_once() {
    let scene = Scene::new().await;
    let member = scene.begun("start").await;
    member.append(at(1, 1), &passage("one"), &[(1, "a")]).await.expect("appended");
    // One of another generation or member is not this position's to tell.
    member.journal.confirm_copy(Acknowledged { generation: 1, member: 2, batch: 9 });
    member.append(at(1, 2), &passage("two"), &[(2, "a")]).await.expect("appended");
    assert_eq!(member.state().await.copied, []);
    let copied = Acknowledged { generation: 1, member: 1, batch: 2 };
    member.journal.confirm_copy(copied);
    assert_eq!(member.state().await.copied, [], "nothing was sent");
    member.append(at(1, 3), &passage("three"), &[(3, "a")]).await.expect("appended");
    assert_eq!(member.state().await.copied, [copied]);
    scene.call("HDEL", &[member.journal.key(), "copied:1:1"]).await;
    member.append(at(1, 4), &passage("four"), &[(4, "a")]).await.expect("appended");
    assert_eq!(member.state().await.copied, [], "it was told before");
    // A member that has nothing to append tells it when it looks.
    let copied = Acknowledged { batch: 4, ..copied };
    member.journal.confirm_copy(copied);
    let mut looks = at(1, 4);
    looks.previous = 4;
    let stale = member.sink.is_ready(at(1, 4)).await;
    assert!(matches!(stale, Err(AppendError::RolledBack(_))), "{stale:?}");
    assert_eq!(member.state().await.copied, [], "a journal that is not as it was is not told");
    member.sink.is_ready(looks).await.expect("ready");
    assert_eq!(member.state().await.copied, [copied]);
    assert_eq!(member.pieces().await, "four", "a look moves nothing");
    scene.call("HDEL", &[member.journal.key(), "copied:1:1"]).await;
    member.sink.is_ready(looks).await.expect("ready");
    assert_eq!(member.state().await.copied, [], "it was told before");
    scene.redis.close().await;
}

#[tokio::test]
async fn a_look_finds_what_an_append_would_and_changes_nothing() {
    let scene = Scene::new().await;
    let member = scene.begun("start").await;
    member.append(at(1, 1), &passage("one"), &[(1, "a")]).await.expect("appended");
    let before = scene.fields(&member).await;
    let mut now = at(1, 1);
    now.previous = 1;
    assert_eq!(member.sink.is_ready(now).await, Ok(()));
    let other = member.sink.is_ready(at(1, 1)).await;
    assert!(matches!(other, Err(AppendError::RolledBack(_))), "{other:?}");
    assert_eq!(scene.fields(&member).await, before);
    assert_eq!(scene.length("a").await, 1);
    scene.redis.close().await;
}

/// What was sent before the raise and comes after it, or between the raise and the installation.
#[tokio::test]
async fn a_late_append_is_fenced_and_a_closed_journal_takes_nothing() {
    let scene = Scene::new().await;
    let (old, new) = (scene.begun("start").await, scene.member());
    new.journal.raise(0).await.expect("a generation");
    let before = scene.fields(&new).await;
    for generation in [1, 2] {
        let fenced = old.append(at(generation, 1), &passage("one"), &[(1, "a")]).await;
        assert_eq!(fenced, Err(AppendError::Fenced(2)), "generation {generation}");
    }
    assert_eq!(scene.fields(&new).await, before);
    new.journal.install(2, "7:1", &[(1, "new".to_owned())]).await.expect("installed");
    let fenced = old.append(at(1, 1), &passage("one"), &[(1, "a")]).await;
    assert_eq!(fenced, Err(AppendError::Fenced(2)), "open again");
    assert_eq!((scene.length("a").await, new.pieces().await.as_str()), (0, "new"));
    scene.redis.close().await;
}

/// Both servers went back in time, and the journal comes to the same generation once more: what was
/// sent in the first one must not land in the second.
#[tokio::test]
async fn pieces_that_were_installed_anew_refuse_who_entered_before() {
    let scene = Scene::new().await;
    let first = scene.begun("start").await;
    let dump = Dump::of(&scene).await;
    assert_eq!(first.begins(0, "first").await, 2);
    dump.restore(&scene).await;
    let second = scene.member();
    assert_eq!(second.begins(0, "second").await, 2);
    let before = scene.fields(&second).await;
    let late = first.append(at(2, 1), &passage("late"), &[(1, "a")]).await;
    let Err(AppendError::RolledBack(what)) = late else { panic!("{late:?}") };
    assert!(what.contains("pieces of member 1"), "{what}");
    assert_eq!((scene.fields(&second).await, scene.length("a").await), (before, 0));
    let stranger = scene.member();
    let never = stranger.append(at(2, 1), &passage("x"), &[(1, "a")]).await;
    assert!(matches!(never, Err(AppendError::RolledBack(_))), "it never entered: {never:?}");
    assert_eq!(
        second.append(at(2, 1), &passage("on"), &[(1, "a")]).await,
        Ok(Vec::new()),
        "who entered last"
    );
    scene.redis.close().await;
}

/// A Redis that comes back in an older state has the position of that state.
#[tokio::test]
async fn an_older_state_has_its_own_position() {
    let scene = Scene::new().await;
    let member = scene.begun("start").await;
    member.append(at(1, 1), &passage("one"), &[(1, "a")]).await.expect("appended");
    let dump = Dump::of(&scene).await;
    member.append(at(1, 2), &passage("two"), &[(2, "a")]).await.expect("appended");
    dump.restore(&scene).await;
    assert_eq!(ids(&scene.redis, "a").await, ["1"]);
    let next = member.append(at(1, 3), &passage("three"), &[(3, "a")]).await;
    let Err(AppendError::RolledBack(what)) = next else { panic!("{next:?}") };
    assert!(what.contains("last batch was 1"), "{what}");
    let raised = member.journal.raise(1).await.expect("a generation");
    let kept = raised.kept.expect("pieces");
    assert_eq!(kept.members, [(1, "one".to_owned())]);
    let last = Acknowledged { generation: 1, member: 1, batch: 1 };
    assert_eq!(raised.last, [last]);
    scene.call("FLUSHALL", &[]).await;
    let gone = member.append(at(1, 4), &passage("four"), &[(4, "a")]).await;
    assert!(matches!(gone, Err(AppendError::RolledBack(_))), "{gone:?}");
    scene.redis.close().await;
}

#[tokio::test]
async fn on_a_cluster_the_journal_is_in_the_slot_of_its_streams() {
    let dir = tempfile::tempdir().expect("a directory");
    let cluster = RedisCluster::start(below(&dir), 3, false, &[]).await.expect("a cluster");
    let redis = redis_client(&cluster.url(), "test");
    redis.ready(LIMIT).await.expect("a connection");
    let member = member_of(&redis, Some("t"));
    assert_eq!(member.journal.key(), "outflow:journal:test:{t}");
    member.begins(0, "start").await;
    redis.call("SET", Args::from(["{t}.w", "text"])).await.expect("a text");
    let events = [(10, "{t}.a"), (20, "{t}.w"), (30, "{t}.a")];
    let refused = member.append(at(1, 1), &passage("one"), &events).await.expect("appended");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(ids(&redis, "{t}.a").await, ["10", "30"]);
    let hex = "7b747d2e77";
    assert_eq!(member.pieces().await, format!("one\n5|1:1:|9:9:|+0000000000000000010|7|{hex}"));
    let held = redis.call("EXISTS", Args::from([member.journal.key()])).await;
    assert_eq!(held, Ok(Reply::Int(1)));
    redis.close().await;
}
