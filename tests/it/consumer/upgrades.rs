//! The example services' tables, from every earlier version: brought up to date at a start, with
//! what is in them. `scripts/older-schemas.sh` makes the files.

use super::{Consumer, LIMIT, Scene};
use outflow_local::eventually;

const EARLIER: [&str; 5] = [
    include_str!("../upgrades/orders-1.sql"),
    include_str!("../upgrades/orders-2.sql"),
    include_str!("../upgrades/orders-3.sql"),
    include_str!("../upgrades/orders-4.sql"),
    include_str!("../upgrades/orders-5.sql"),
];
/// Columns, checks and whole indexes of all tables.
const SHAPE: &str = "select string_agg(what, E'\\n' order by what) from ( \
    select concat_ws(' ', relname, attname, format_type(atttypid, null), attnotnull) as what \
    from pg_attribute join pg_class c on c.oid = attrelid where relnamespace = \
    'orders'::regnamespace and relkind = 'r' and attnum > 0 and not attisdropped \
    union all select concat_ws(' ', conrelid::regclass, \
    replace(pg_get_constraintdef(oid), ' NOT VALID', '')) from pg_constraint where connamespace = \
    'orders'::regnamespace \
    union all select pg_get_indexdef(indexrelid) from pg_index join pg_class c on c.oid = \
    indexrelid where relnamespace = 'orders'::regnamespace and indisvalid) as everything";

async fn shape(scene: &Scene) -> String {
    scene.db.query_one(SHAPE, &[]).await.expect("the shape").get(0)
}

async fn started(scene: &Scene) -> Consumer {
    scene.ready("one", &[]).await
}

#[tokio::test]
async fn tables_of_each_earlier_version_are_brought_up_to_date() {
    let scene = Scene::new().await;
    started(&scene).await.stop().await;
    let expected = shape(&scene).await;
    for (at, earlier) in EARLIER.iter().enumerate() {
        scene.db.batch_execute("drop schema orders cascade").await.expect("no schema");
        scene.db.batch_execute(earlier).await.expect("the earlier tables");
        let consumer = started(&scene).await;
        // Indexes are built beside the writers.
        let is_current = async || shape(&scene).await == expected;
        let current = eventually(LIMIT, "the tables of today", is_current).await;
        if current.is_err() {
            assert_eq!(shape(&scene).await, expected, "version {}", at + 1);
        }
        scene.reserve("a", 1).await;
        scene.until_reserved("a", 4).await;
        let kept = "select (select count(*) from orders.orders where customer_id = 'ada'), (select \
            count(*) from orders.inventory where reserved between 0 and on_hand), (select count(*) \
            from orders.inbox where event_id::text like '%-000000000001')";
        let kept = scene.db.query_one(kept, &[]).await.expect("counts");
        let kept: [i64; 3] = [kept.get(0), kept.get(1), kept.get(2)];
        assert_eq!(kept, [2, 2, 1], "version {}", at + 1);
        // What only the present version does, and what it must not take.
        let confirm = "update orders.orders set status = 'confirmed' where status = 'created'";
        assert_eq!(scene.db.execute(confirm, &[]).await.expect("an update"), 1);
        for bad in [
            "update orders.orders set status = 'x'",
            "update orders.inventory set reserved = \
            on_hand + 1",
        ] {
            assert!(scene.db.execute(bad, &[]).await.is_err(), "version {}: {bad}", at + 1);
        }
        consumer.stop().await;
    }
}
