//! A new generation: raised, installed, entered.

use std::sync::Arc;

use bytes::Bytes;
use outflow::relay::event::{Acknowledged, AppendedRow, Batch, KeptRaised};
use outflow::relay::kept::journal::{Entered, NotEntered};
use outflow::relay::sink::{GENERATIONS_KEPT, RedisSink, Sink as _};

use super::{Scene, at, batch, passage};

fn words(error: NotEntered) -> String {
    match error {
        NotEntered::Elsewhere(words) => words,
        NotEntered::Failed(words) => panic!("Redis failed: {words}"),
    }
}

fn pieces(of: &[(i32, &str)]) -> Vec<(i32, String)> {
    of.iter().map(|(member, pieces)| (*member, (*pieces).to_owned())).collect()
}

#[tokio::test]
async fn an_installation_needs_its_raise_and_a_member_its_installation() {
    let scene = Scene::new().await;
    let journal = scene.member().journal;
    let entered = journal.enter(1, 1).await.map_err(words).expect_err("nothing is there");
    assert!(entered.contains("no journal"), "{entered}");
    assert_eq!(journal.state().await, Ok(None));
    let missing = journal.install(1, "7:1", &pieces(&[(1, "A")])).await.expect_err("no raise");
    assert!(missing.contains("the journal is gone"), "{missing}");

    let raised = journal.raise(4).await.expect("a generation");
    assert_eq!((raised.generation, raised.previous), (5, None));
    assert_eq!(raised.kept, Some(KeptRaised::default()));
    let closed = journal.enter(5, 1).await.map_err(words).expect_err("closed");
    assert!(closed.contains("is closed"), "{closed}");
    for (generation, expected) in [(4, "at generation 5, not 4"), (6, "at generation 5, not 6")] {
        let refused = journal.install(generation, "7:1", &pieces(&[(1, "A")])).await;
        let refused = refused.expect_err("another generation");
        assert!(refused.contains(expected), "{refused}");
    }

    journal.install(5, "7:1", &pieces(&[(1, "A"), (2, "B\nC")])).await.expect("installed");
    let again = journal.install(5, "7:1", &pieces(&[(1, "Z")])).await.expect_err("open");
    assert!(again.contains("is open already"), "{again}");
    let first = Entered { batch: 0, pieces: "A".to_owned() };
    assert_eq!(journal.enter(5, 1).await, Ok(first));
    let none = journal.enter(5, 3).await.map_err(words).expect_err("no member");
    assert!(none.contains("no pieces for member 3"), "{none}");
    let older = journal.enter(4, 1).await.map_err(words).expect_err("an older generation");
    assert!(older.contains("at generation 5, not 4"), "{older}");

    let raised = journal.raise(0).await.expect("a generation");
    assert_eq!((raised.generation, raised.previous), (6, Some(5)), "above the journal's");
    assert_eq!(raised.server.as_deref(), Some("7:1"));
    let kept = raised.kept.expect("the pieces");
    let mut members = kept.members;
    members.sort_unstable();
    assert_eq!(members, pieces(&[(1, "A"), (2, "B\nC")]));
    let shut = journal.enter(6, 1).await.map_err(words).expect_err("closed again");
    assert!(shut.contains("is closed"), "{shut}");
    scene.redis.close().await;
}

/// A raise whose installation never comes, or comes too late, is raised over.
#[tokio::test]
async fn a_late_installation_writes_nothing() {
    let scene = Scene::new().await;
    let (one, other) = (scene.member().journal, scene.member().journal);
    let first = one.raise(0).await.expect("a generation").generation;
    let second = other.raise(0).await.expect("a generation").generation;
    let late = one.install(first, "7:1", &pieces(&[(1, "old")])).await.expect_err("too late");
    assert!(late.contains("at generation 2, not 1"), "{late}");
    other.install(second, "7:1", &pieces(&[(1, "new")])).await.expect("installed");
    let entered = one.enter(second, 1).await.expect("pieces");
    assert_eq!(entered.pieces, "new");
    scene.redis.close().await;
}

/// A journal that was restored is raised to the same generation a second time. Found by the model:
/// what the first raise had returned was installed over it, and with it a position behind events
/// that the streams no longer had.
#[tokio::test]
async fn an_installation_needs_its_own_raise() {
    let scene = Scene::new().await;
    let (one, other) = (scene.begun("A").await.journal, scene.member().journal);
    scene.call("COPY", &[one.key(), "saved"]).await;
    assert_eq!(one.raise(0).await.expect("a generation").generation, 2);
    scene.call("COPY", &["saved", one.key(), "REPLACE"]).await;
    assert_eq!(other.raise(0).await.expect("a generation").generation, 2);
    let late = one.install(2, "7:1", &pieces(&[(1, "ahead")])).await.expect_err("not its own");
    assert!(late.contains("generation 2 was raised by somebody else"), "{late}");
    other.install(2, "7:1", &pieces(&[(1, "A")])).await.expect("installed");
    assert_eq!(one.enter(2, 1).await.expect("pieces").pieces, "A");
    scene.redis.close().await;
}

/// Members that are gone leave no piece behind, also where HDEL is forbidden.
#[tokio::test]
async fn an_installation_replaces_all_pieces() {
    for may_remove in [true, false] {
        let scene = Scene::new().await;
        let member = scene.begun("A").await;
        member.journal.confirm_copy(Acknowledged { generation: 1, member: 1, batch: 1 });
        member.append(at(1, 1), &passage("A1"), &[(1, "a")]).await.expect("appended");
        let raised = member.journal.raise(0).await.expect("a generation");
        let copied = Acknowledged { generation: 1, member: 1, batch: 1 };
        assert_eq!(raised.kept.expect("kept").copied, [copied]);
        if !may_remove {
            scene.call("ACL", &["SETUSER", "default", "-hdel"]).await;
        }
        member.journal.install(2, "8:1", &pieces(&[(2, "B")])).await.expect("installed");
        let gone = member.journal.enter(2, 1).await.map_err(words).expect_err("gone");
        assert!(gone.contains("no pieces for member 1"), "{gone}");
        let state = member.state().await;
        assert_eq!(state.members, pieces(&[(2, "B")]), "may remove: {may_remove}");
        assert_eq!((state.copied.len(), state.open), (0, true), "may remove: {may_remove}");
        let raised = member.journal.raise(0).await.expect("a generation");
        assert_eq!(raised.server.as_deref(), Some("8:1"));
        let kept = raised.kept.expect("kept");
        assert_eq!(kept.members, pieces(&[(2, "B")]), "may remove: {may_remove}");
        assert_eq!(kept.copied.len(), 0);
        scene.redis.close().await;
    }
}

/// Last numbers of the last generations stay, older ones go.
#[tokio::test]
async fn old_numbers_go() {
    let scene = Scene::new().await;
    let member = scene.member();
    let rounds = GENERATIONS_KEPT + 3;
    for generation in 1..=rounds {
        assert_eq!(member.begins(0, "A").await, generation);
        let appended = member.append(at(generation, 1), &passage("A"), &[(1, "a")]).await;
        assert_eq!(appended, Ok(Vec::new()));
    }
    let last = member.state().await.last;
    assert_eq!(last.first().map(|last| last.generation), Some(rounds - GENERATIONS_KEPT));
    assert_eq!(last.last().map(|last| last.generation), Some(rounds));
    assert_eq!(member.sink.last_batch(rounds, 1).await, Ok(Some(1)));
    assert_eq!(member.sink.last_batch(1, 1).await, Ok(None));
    scene.redis.close().await;
}

/// An outbox that changes to `keep` may have records of appended rows that are not settled.
#[tokio::test]
async fn the_records_of_deleted_rows_are_returned_and_then_dropped() {
    let scene = Scene::new().await;
    let deleting = RedisSink::new(scene.redis.clone(), "test", None, Arc::default());
    let deleting = deleting.naming_by("names");
    deleting.raise(0, "6:1").await.expect("a generation");
    let (batch, entries) = batch(&passage(""), &[(1, "a")]);
    let batch = Batch { passage: None, ..batch };
    assert_eq!(deleting.append(at(1, 1), &batch, &entries).await, Ok(Vec::new()));

    let member = scene.member();
    let raised = member.journal.raise(0).await.expect("a generation");
    let row =
        AppendedRow { row: Bytes::new(), event_id: Bytes::from("1"), names: Bytes::from("names") };
    assert_eq!(raised.appended, [row]);
    assert_eq!(raised.kept, Some(KeptRaised::default()));
    assert_eq!(raised.server.as_deref(), Some("6:1"));
    member.journal.install(2, "7:1", &pieces(&[(1, "A")])).await.expect("installed");
    let raised = member.journal.raise(0).await.expect("a generation");
    assert_eq!(raised.appended, []);
    scene.redis.close().await;
}
