//! Whose fault it is that an entry was not handled: the server's, somebody's who is in the way, or
//! its own.

use outflow_local::eventually;
use uuid::Uuid;

use super::{LIMIT, Scene, about};

/// One SQLSTATE of each kind, raised for the sku of that name; whether the entry ends in the dead
/// letters.
const STATES: [(&str, bool); 14] = [
    ("57014", false),
    ("40001", false),
    ("53200", false),
    ("55P03", false),
    ("55006", false),
    ("XX000", false),
    ("58030", false),
    ("42P01", false),
    ("42501", false),
    ("0A000", false),
    ("22P02", true),
    ("23514", true),
    ("P0001", true),
    ("U0001", true),
];

/// What the server could not do is waited out, however often it fails; what it refuses is not.
#[tokio::test]
async fn what_the_server_could_not_do_is_not_the_events_fault() {
    let scene = Scene::new().await;
    let consumer = scene.ready("one", &["--attempts-max", "2"]).await;
    let trigger = "create function fail() returns trigger language plpgsql as
        $$ begin raise exception 'as told' using errcode = current_setting('test.state'); end $$";
    scene.db.batch_execute(trigger).await.expect("a function");
    for (state, is_dead) in STATES {
        let before = scene.dead().await.len();
        let arm = format!(
            "alter function fail() set test.state = '{state}';
             create trigger fail before insert on orders.inventory for each row execute function \
             fail()"
        );
        scene.db.batch_execute(&arm).await.expect("a trigger");
        let sku = format!("of {state}");
        let failed = "failed_total";
        let sum = async || consumer.sum(failed).await;
        let tries = sum().await;
        scene.order(Uuid::now_v7(), "OrderCreated", &[(&sku, 1)]).await;
        if is_dead {
            let dead = async || scene.dead().await.len() == before + 1;
            eventually(LIMIT, &format!("{state} to be dead-lettered"), dead)
                .await
                .expect("in time");
            let letters = scene.dead().await;
            assert!(about(&letters[before], "dead_error").contains(state), "{letters:?}");
        } else {
            // More often than it may be attempted.
            let often = async || sum().await >= tries + 3.0;
            eventually(LIMIT, &format!("{state} to be tried on"), often).await.expect("in time");
        }
        scene.db.batch_execute("drop trigger fail on orders.inventory").await.expect("no trigger");
        if !is_dead {
            scene.until_reserved(&sku, 1).await;
            scene.until_none_pending().await;
        }
        assert_eq!(scene.dead().await.len(), before + usize::from(is_dead), "{state}");
    }
    consumer.until_ready().await;
    consumer.stop().await;
}

/// What looks like an outage and is one entry's alone (a policy that refuses its row, a partition
/// that nobody has made) holds up that entry, for as long as it lasts, and nobody else.
#[tokio::test]
async fn an_outage_of_one_entry_alone_does_not_hold_up_the_others() {
    let scene = Scene::new().await;
    let consumer = scene.ready("one", &["--attempts-max", "2", "--workers", "2"]).await;
    let arm = "create table by_sku (sku text) partition by list (sku);
        create table by_sku_fine partition of by_sku for values in ('fine');
        create function note() returns trigger language plpgsql as $$ begin
          if new.sku = 'refused' then raise exception 'as a policy says it' using errcode = \
          '42501'; end if;
          if new.sku = 'elsewhere' then insert into by_sku values (new.sku); end if;
          return new;
        end $$;
        create trigger note before insert on orders.inventory for each row execute function note()";
    scene.db.batch_execute(arm).await.expect("a trigger");
    for sku in ["refused", "elsewhere"] {
        scene.own(sku, 1).await;
    }
    for _ in 0..50 {
        scene.own("fine", 1).await;
    }
    scene.until_reserved("fine", 50).await;
    let tries = consumer.sum("failed_total").await;
    let often = async || consumer.sum("failed_total").await >= tries + 6.0;
    eventually(LIMIT, "both to be tried on", often).await.expect("in time");
    for _ in 0..50 {
        scene.own("fine", 1).await;
    }
    scene.until_reserved("fine", 100).await;
    // What is reserved is acknowledged a little later.
    let two = async || scene.pending().await == 2;
    eventually(LIMIT, "the others to be acknowledged", two).await.expect("in time");
    assert_eq!(scene.dead().await.len(), 0);
    let mend = "drop trigger note on orders.inventory; create table by_sku_other partition of \
        by_sku default";
    scene.db.batch_execute(mend).await.expect("mended");
    for sku in ["refused", "elsewhere"] {
        scene.until_reserved(sku, 1).await;
    }
    scene.until_none_pending().await;
    assert_eq!(scene.dead().await.len(), 0);
    consumer.stop().await;
}

/// A column that a migration added, which must not be null and which this version does not know: no
/// order is to blame.
#[tokio::test]
async fn what_the_bookkeeping_is_refused_waits_for_the_operator() {
    let scene = Scene::new().await;
    let refused_by = "create function refuse() returns trigger language plpgsql as
        $$ begin raise exception 'not here' using errcode = '22023'; end $$";
    scene.db.batch_execute(refused_by).await.expect("a function");
    let (table, gone) = ("add column tenant text not null", "drop column tenant");
    let rows = [
        (format!("alter table orders.inbox {table}"), format!("alter table orders.inbox {gone}")),
        (format!("alter table public.outbox {table}"), format!("alter table public.outbox {gone}")),
        (
            "create trigger refuse before insert on orders.inbox for each row execute function \
                refuse()"
                .to_owned(),
            "drop trigger refuse on orders.inbox".to_owned(),
        ),
        (
            "alter table orders.inbox add constraint short check (length(consumer_group) < 3)"
                .to_owned(),
            "alter table orders.inbox drop constraint short".to_owned(),
        ),
    ];
    let mut reserved = 0;
    for together in ["1", "64"] {
        let consumer =
            scene.ready("one", &["--attempts-max", "2", "--handle-batch", together]).await;
        for (harm, mend) in &rows {
            scene
                .db
                .batch_execute("delete from orders.inbox; delete from public.outbox")
                .await
                .expect("empty tables");
            scene.db.batch_execute(harm).await.expect(harm);
            let tries = consumer.sum("failed_total").await;
            for _ in 0..5 {
                scene.own("fine", 1).await;
            }
            let often = async || consumer.sum("failed_total").await >= tries + 6.0;
            eventually(LIMIT, &format!("{harm}: to be tried on"), often).await.expect("in time");
            assert_eq!(scene.dead().await.len(), 0, "{harm}");
            scene.db.batch_execute(mend).await.expect(mend);
            reserved += 5;
            scene.until_reserved("fine", reserved).await;
            // One that is still being handled would hold the table.
            scene.until_none_pending().await;
        }
        consumer.stop().await;
    }
    assert_eq!((rows.len(), scene.dead().await.len()), (4, 0));
}
