//! What becomes of what died or is done: `order-consumer dead`, and the retention of the inbox.

use std::time::Duration;

use outflow::consumer::Inbox;
use outflow::local::eventually;
use serde_json::Value;
use uuid::Uuid;

use super::{LIMIT, Scene};

struct Asked {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Scene {
    async fn ask(&self, args: &[&str]) -> Asked {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_order-consumer"));
        command.arg("dead").args(args).args(["--redis-url", &self.redis.url()]).stdin(std::process::Stdio::null());
        let output = command.output().await.expect("a run");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("a text");
        Asked { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    async fn until_dead(&self, count: usize) {
        let enough = async || self.dead().await.len() == count;
        eventually(LIMIT, &format!("{count} dead letters"), enough).await.expect("in time");
    }

    async fn letters(&self, filter: &[&str]) -> Vec<Value> {
        let asked = self.ask(&[&["list", "--json"], filter].concat()).await;
        assert_eq!(asked.code, Some(0), "{}", asked.stderr);
        asked.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

#[tokio::test]
async fn dead_letters_are_shown_put_back_and_discarded() {
    let scene = Scene::new().await;
    let consumer = scene.ready("one", &["--attempts-max", "2"]).await;
    let refuse = "create function refuse() returns trigger language plpgsql as
        $$ begin raise exception 'not today'; end $$;
        create trigger refuse before insert on orders.inventory for each row execute function refuse()";
    scene.db.batch_execute(refuse).await.expect("a trigger");
    // One after the other: letters are in the order of dying.
    for (count, sku) in (1..).zip(["a", "b", "c"]) {
        scene.order(Uuid::now_v7(), "OrderCreated", &[(sku, 1)]).await;
        scene.until_dead(count).await;
    }
    scene.add(&["what", "is this"]).await;
    scene.until_dead(4).await;

    let all = scene.letters(&[]).await;
    assert_eq!(all.len(), 4);
    assert_eq!((&all[0]["attempts"], &all[0]["group"]), (&2.into(), &"inventory".into()));
    assert!(all[0]["error"].as_str().is_some_and(|error| error.contains("not today")), "{all:?}");
    assert!(all[0]["fields"].get("payload").is_some() && all[0]["fields"].get("dead_at").is_none(), "{all:?}");
    let rows: [(&[&str], usize); 5] = [
        (&["--reason", "NOT TODAY"], 3),
        (&["--reason", "no field"], 1),
        (&["--limit", "2"], 2),
        (&["--since", "1h"], 4),
        (&["--since", "2100-01-01T00:00:00Z"], 0),
    ];
    assert_eq!(rows.len(), 5);
    for (filter, count) in rows {
        assert_eq!(scene.letters(filter).await.len(), count, "{filter:?}");
    }
    let id = all[3]["id"].as_str().expect("an id");
    let shown = scene.ask(&["show", id]).await.stdout;
    assert!(shown.contains("is this") && shown.contains("no field \"id\""), "{shown}");
    let missing = scene.ask(&["show", "1-1"]).await;
    assert!(missing.code == Some(1) && missing.stderr.contains("no dead letter 1-1"), "{}", missing.stderr);

    let dry = scene.ask(&["replay", "--reason", "not today", "--dry-run"]).await;
    assert!(dry.stdout.ends_with("3 would be put back\n"), "{}", dry.stdout);
    let unasked = scene.ask(&["discard"]).await;
    assert!(unasked.code == Some(1) && unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    assert_eq!(scene.letters(&[]).await.len(), 4);

    scene.db.batch_execute("drop trigger refuse on orders.inventory").await.expect("no trigger");
    let back = scene.ask(&["replay", "--reason", "not today", "--limit", "2", "--yes", "--rate", "1000"]).await;
    assert_eq!((back.code, back.stdout.as_str()), (Some(0), "2 put back\n"), "{}", back.stderr);
    scene.until_reserved("a", 1).await;
    scene.until_reserved("b", 1).await;
    let discarded = scene.ask(&["discard", id, "--yes", "--json"]).await;
    assert_eq!(discarded.stdout, "{\"discarded\":1,\"not_done\":0}\n");
    let left = scene.letters(&[]).await;
    assert_eq!((left.len(), &left[0]["id"]), (1, &all[2]["id"]));
    assert_eq!(scene.call("XLEN", &[super::DEAD]).await.int(), Some(1));
    consumer.stop().await;
}

#[tokio::test]
async fn the_inbox_forgets_what_is_old_batch_by_batch_and_only_its_own() {
    let scene = Scene::new().await;
    let fill = "create table inbox (consumer_group text not null, event_id uuid not null,
          handled_at timestamptz not null default now(), primary key (consumer_group, event_id));
        insert into inbox select g, gen_random_uuid(), now() - make_interval(days => d)
        from unnest(array['a', 'b']) g, generate_series(0, 9) d";
    scene.db.batch_execute(fill).await.expect("rows");
    let inbox = Inbox::new("public.inbox", "a").expect("a name");
    // Older than four and a half days are those of days 5 to 9.
    let keep = Duration::from_hours(108);
    for expected in [3, 2, 0] {
        assert_eq!(inbox.clean(&scene.db, keep, 3).await.expect("rows"), expected);
    }
    let left =
        scene.db.query("select consumer_group, count(*) from inbox group by 1 order by 1", &[]).await.expect("counts");
    let left: Vec<(String, i64)> = left.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(left, [("a".to_owned(), 5), ("b".to_owned(), 10)]);
}
