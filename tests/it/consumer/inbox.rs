//! The inbox: its table, each effect once for ids of any form, and its retention.

use std::time::Duration;

use outflow_consumer::{ErrorKind, EventId, HandlerError, Inbox};
use uuid::Uuid;

use super::{Scene, session};

#[tokio::test]
async fn several_migrate_at_once_and_again_without_the_right_to_create() {
    let scene = Scene::new().await;
    scene.db.batch_execute("create schema app; create role plain").await.expect("a schema");
    let inbox = Inbox::new("app.\"In Box\"", "a").expect("a name");
    let (one, two) = tokio::join!(session(&scene.postgres), session(&scene.postgres));
    let (first, second) = tokio::join!(inbox.migrate(&one), inbox.migrate(&two));
    first.and(second).expect("a table, for both");
    one.batch_execute("grant usage on schema app to plain; set role plain").await.expect("a role");
    inbox.migrate(&one).await.expect("nothing to create");
    let another = Inbox::new("app.another", "a").expect("a name");
    let error = another.migrate(&one).await.expect_err("it may not create");
    assert!(error.to_string().contains("permission denied"), "{error}");
    one.query_one("select 1", &[]).await.expect("no transaction is left behind");
    let index = "select indexdef from pg_indexes where indexname = 'In Box_expiry'";
    let definition: String = two.query_one(index, &[]).await.expect("an index").get(0);
    assert!(definition.ends_with("(consumer_group, handled_at)"), "{definition}");
}

#[tokio::test]
async fn an_event_is_new_once_per_group_whatever_its_id_looks_like() {
    let mut scene = Scene::new().await;
    let inbox = |group: &str| Inbox::new("inbox", group).expect("a name");
    let (a, b) = (inbox("a"), inbox("b"));
    a.migrate(&scene.db).await.expect("its table");
    let ids = [EventId::from(Uuid::now_v7()), EventId::from("42"), EventId::from("order/42")];
    for (inbox, expected) in [(&a, true), (&a, false), (&b, true)] {
        for id in &ids {
            let transaction = scene.db.transaction().await.expect("a transaction");
            assert_eq!(inbox.first_time(&transaction, id).await.expect("an answer"), expected);
            transaction.commit().await.expect("a commit");
        }
    }
    let transaction = scene.db.transaction().await.expect("a transaction");
    let new = EventId::from("43");
    let fresh = a.first_times(&transaction, &[&ids[1], &new, &ids[0], &new]).await;
    assert_eq!(fresh.expect("an answer"), [false, true, false, false]);
    transaction.rollback().await.expect("a rollback");

    // What the table refuses is nobody's fault.
    let spoil = "alter table inbox add column team text not null default '';
        alter table inbox alter team drop default";
    scene.db.batch_execute(spoil).await.expect("a column");
    let transaction = scene.db.transaction().await.expect("a transaction");
    let refused = a.first_time(&transaction, &new).await.expect_err("a refusal");
    let error = HandlerError::from(refused);
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("23502") && error.error().source().is_some(), "{error}");
}

#[tokio::test]
async fn the_inbox_forgets_what_is_old_batch_by_batch_and_only_its_own() {
    let scene = Scene::new().await;
    let inbox = Inbox::new("public.inbox", "a").expect("a name");
    inbox.migrate(&scene.db).await.expect("its table");
    let fill = "insert into inbox select g, gen_random_uuid(), now() - make_interval(days => d)
        from unnest(array['a', 'b']) g, generate_series(0, 9) d";
    scene.db.batch_execute(fill).await.expect("rows");
    // Older than four and a half days are those of days 5 to 9.
    let keep = Duration::from_hours(108);
    for expected in [3, 2, 0] {
        assert_eq!(inbox.clean(&scene.db, keep, 3).await.expect("rows"), expected);
    }
    let left = scene
        .db
        .query("select consumer_group, count(*) from inbox group by 1 order by 1", &[])
        .await
        .expect("counts");
    let left: Vec<(String, i64)> = left.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(left, [("a".to_owned(), 5), ("b".to_owned(), 10)]);
}
