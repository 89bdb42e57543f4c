//! What becomes of entries that could not be handled: `outflow stream dead`, and of those that the
//! inbox has forgotten.

use outflow_connect::redis::Reply;
use outflow_local::eventually;
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
        let (verb, rest) = args.split_first().expect("a verb");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_outflow"));
        command
            .args(["stream", "dead", verb, super::STREAM])
            .args(rest)
            .env("OUTFLOW_REDIS__URL", self.redis.url())
            .stdin(std::process::Stdio::null());
        let output = command.output().await.expect("a run");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("a text");
        Asked {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
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
#[expect(clippy::too_many_lines, reason = "one story")]
async fn dead_letters_are_shown_put_back_and_discarded() {
    let scene = Scene::new().await;
    let consumer = scene.ready("one", &["--attempts-max", "2"]).await;
    let refuse = "create function refuse() returns trigger language plpgsql as
        $$ begin raise exception 'not today'; end $$;
        create trigger refuse before insert on orders.inventory for each row execute function \
        refuse()";
    scene.db.batch_execute(refuse).await.expect("a trigger");
    // One after the other: letters are in the order of dying.
    for (count, sku) in (1..).zip(["a", "b", "c"]) {
        scene.order(Uuid::now_v7(), "OrderCreated", &[(sku, 1)]).await;
        scene.until_dead(count).await;
    }
    scene.add(&["what", "is this"]).await;
    scene.until_dead(4).await;

    let counted = async || consumer.metric("dead_letters{").await;
    eventually(LIMIT, "the gauge", async || counted().await == Some(4.0))
        .await
        .expect("4 that lie there");

    let all = scene.letters(&[]).await;
    assert_eq!(all.len(), 4);
    assert_eq!((&all[0]["attempts"], &all[0]["group"]), (&2.into(), &"inventory".into()));
    assert!(all[0]["error"].as_str().is_some_and(|error| error.contains("not today")), "{all:?}");
    assert!(
        all[0]["fields"].get("payload").is_some() && all[0]["fields"].get("dead_at").is_none(),
        "{all:?}"
    );
    let key = all[1]["fields"]["key"].as_str().expect("a key");
    let rows: [(&[&str], usize); 14] = [
        (&["--reason", "NOT TODAY"], 3),
        (&["--reason", "no field"], 1),
        (&["--limit", "2"], 2),
        (&["--since", "1h"], 4),
        (&["--since", "2100-01-01T00:00:00Z"], 0),
        (&["--until", "2001-01-01T00:00:00Z"], 0),
        (&["--since", "1h", "--until", "2100-01-01T00:00:00Z"], 4),
        (&["--type", "OrderCreated"], 3),
        (&["--type", "ordercreated"], 0),
        (&["--key", key], 3),
        (&["--key", "another"], 0),
        (&["--key", key, "--type", "Another"], 0),
        (&["--group", "inventory"], 4),
        (&["--group", "payment"], 0),
    ];
    for (filter, count) in rows {
        assert_eq!(scene.letters(filter).await.len(), count, "{filter:?}");
    }
    let id = all[3]["id"].as_str().expect("an id");
    let shown = scene.ask(&["show", id]).await.stdout;
    assert!(shown.contains("is this") && shown.contains("no field \"id\""), "{shown}");
    let missing = scene.ask(&["show", "1-1"]).await;
    assert!(
        missing.code == Some(1) && missing.stderr.contains("events.order.dead: 1-1"),
        "{}",
        missing.stderr
    );

    let dry = scene.ask(&["retry", "--reason", "not today", "--dry-run"]).await;
    assert!(dry.stdout.ends_with("3 would be retried\n"), "{}", dry.stdout);
    let dry = scene.ask(&["discard", "--reason", "not today", "--dry-run", "--json"]).await;
    assert_eq!(dry.stdout, "{\"would_be_discarded\":3}\n");
    let unasked = scene.ask(&["discard"]).await;
    assert!(unasked.code == Some(1) && unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    for everything in [&["discard", "--yes"][..], &["discard", "--yes", "--limit", "3", "--json"]] {
        let refused = scene.ask(everything).await;
        assert!(refused.code != Some(0) && refused.stderr.contains("--all"), "{}", refused.stderr);
    }
    assert_eq!(scene.letters(&[]).await.len(), 4);

    scene.db.batch_execute("drop trigger refuse on orders.inventory").await.expect("no trigger");
    let back = scene
        .ask(&["retry", "--reason", "not today", "--limit", "2", "--yes", "--rate", "1000"])
        .await;
    assert_eq!((back.code, back.stdout.as_str()), (Some(0), "2 retried\n"), "{}", back.stderr);
    scene.until_reserved("a", 1).await;
    scene.until_reserved("b", 1).await;
    let discarded = scene.ask(&["discard", id, "--yes", "--json"]).await;
    assert_eq!(discarded.stdout, "{\"discarded\":1,\"not_done\":0}\n");
    let audit = scene.call("XRANGE", &["events.order.dead.audit", "-", "+"]).await;
    let values = |entry: &Reply| {
        entry.items()[1].items().chunks_exact(2).filter_map(|pair| pair[1].string()).collect()
    };
    let noted: Vec<Vec<String>> = audit.items().iter().map(values).collect();
    let actions: Vec<(&str, &str)> =
        noted.iter().map(|values| (&*values[0], &*values[1])).collect();
    assert_eq!(
        actions,
        [("retry", "2"), ("retry done", "2"), ("discard", "1"), ("discard done", "1")]
    );
    assert!(noted[0][2].contains("not today") && noted[2][2].contains(id), "the filter: {noted:?}");
    assert!(
        noted.iter().all(|values| !values[3].is_empty() && !values[4].is_empty()),
        "who and where: {noted:?}"
    );
    // Nothing without a trace.
    scene.call("ACL", &["SETUSER", "default", "-xadd"]).await;
    let refused = scene.ask(&["discard", "--all", "--yes"]).await;
    scene.call("ACL", &["SETUSER", "default", "+xadd"]).await;
    assert!(
        refused.code == Some(1) && refused.stderr.contains("nothing was done"),
        "{}",
        refused.stderr
    );
    scene.call("CONFIG", &["SET", "maxmemory", "1"]).await;
    let full = scene.ask(&["discard", "--all", "--yes"]).await;
    scene.call("CONFIG", &["SET", "maxmemory", "0"]).await;
    assert_eq!(full.code, Some(1), "{}", full.stderr);
    for words in ["nothing was done", "OOM"] {
        assert!(full.stderr.contains(words), "{words}: {}", full.stderr);
    }
    let left = scene.letters(&[]).await;
    assert_eq!((left.len(), &left[0]["id"]), (1, &all[2]["id"]));
    assert_eq!(scene.call("XLEN", &[super::DEAD]).await.int(), Some(1));
    eventually(LIMIT, "the gauge", async || counted().await == Some(1.0))
        .await
        .expect("one that lies there");
    consumer.stop().await;
}

/// What an attacker writes acts neither on the terminal of whoever looks at it, nor on the lines of
/// a log.
#[tokio::test]
async fn what_an_attacker_wrote_is_shown_and_not_done() {
    let scene = Scene::new().await;
    let evil = "\x1b[2J\x1b]0;owned\x07\u{9b}31m\u{202e}gpj.exe\u{200b}\r\nfake  \
        2026-01-01T00:00:00Z  row\u{2028}";
    let wide = "w".repeat(5_000);
    let name = format!("field{evil}");
    let event_id = format!("no uuid {evil}");
    scene
        .add(&["id", &event_id, "type", "OrderCreated", "key", evil, "payload", evil, &name, &wide])
        .await;
    scene.add(&["id", &event_id, "type", evil, "key", &wide]).await;
    let consumer = scene.start("one", &[]);
    scene.until_dead(2).await;

    let acts = |character: char| {
        character.is_control() && character != '\n'
            || matches!(character, '\u{200b}' | '\u{202e}' | '\u{2028}')
    };
    let list = scene.ask(&["list"]).await.stdout;
    assert!(!list.chars().any(acts), "{list:?}");
    assert_eq!(list.lines().count(), 3, "one line each: {list}");
    assert!(list.lines().all(|line| line.chars().count() < 700), "{list}");
    for asked in [["show", "--limit", "9"], ["retry", "--dry-run", "--yes"]] {
        let shown = scene.ask(&asked).await;
        assert!(
            !shown.stdout.chars().any(acts) && !shown.stderr.chars().any(acts),
            "{asked:?}: {:?}",
            shown.stdout
        );
        assert!(!shown.stdout.lines().any(|line| line.starts_with("fake")), "{}", shown.stdout);
    }
    let json = scene.ask(&["show", "--json"]).await.stdout;
    assert!(!json.chars().any(acts), "{json:?}");
    let letters: Vec<Value> =
        json.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(letters.iter().any(|letter| letter["fields"]["key"] == evil), "the same text: {json}");
    let log = consumer.program.log();
    assert!(!log.chars().any(acts) && !log.lines().any(|line| line.starts_with("fake")), "{log:?}");
    consumer.stop().await;
}

/// Tables that an earlier version made and filled get the index for retention beside the writers,
/// in place of the BRIN one; what a build left that was broken off is built again.
#[tokio::test]
async fn retention_gets_its_indexes_on_tables_of_an_earlier_version() {
    let scene = Scene::new().await;
    let earlier = "create schema orders;
        create table orders.inbox (consumer_group text not null, event_id uuid not null,
          handled_at timestamptz not null default now(), primary key (consumer_group, event_id));
        create index inbox_handled_at on orders.inbox using brin (handled_at);
        create table orders.idempotency (key text primary key, request_sha256 bytea not null, \
        response text not null,
          created_at timestamptz not null default now());
        insert into orders.inbox select 'inventory', gen_random_uuid() from generate_series(1, 100);
        insert into orders.idempotency values ('k', '', '');
        create index inbox_expiry on orders.inbox (consumer_group, handled_at);
        update pg_index set indisvalid = false where indexrelid = 'orders.inbox_expiry'::regclass;";
    scene.db.batch_execute(earlier).await.expect("the tables");
    let consumer = scene.ready("one", &[]).await;
    let indexes = async || {
        let sql = "select string_agg(c.relname || ' ' || a.amname, ', ' order by c.relname)
            from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
            where i.indisvalid and c.relname in ('inbox_expiry', 'idempotency_expiry', \
            'inbox_handled_at')";
        let row = scene.db.query_one(sql, &[]).await.expect("an answer");
        row.get::<_, Option<String>>(0).unwrap_or_default()
    };
    let built = async || indexes().await == "idempotency_expiry btree, inbox_expiry btree";
    eventually(LIMIT, "the indexes", built).await.expect("in time");
    consumer.stop().await;
}

/// A group that is made again reads the stream from its beginning. What the inbox has forgotten by
/// then is a duplicate all the same, whether it is handled alone or with others.
#[tokio::test]
async fn a_group_made_again_on_a_stream_older_than_the_inbox_makes_no_dead_letters() {
    let scene = Scene::new().await;
    let consumer = scene.ready("one", &[]).await;
    let orders: Vec<Uuid> = (0..30).map(|_| Uuid::now_v7()).collect();
    for order in &orders {
        let (id, items) = (
            order.to_string(),
            serde_json::json!([{ "sku": "a", "quantity": 1, "unit_price": "1.00" }]),
        );
        let payload = serde_json::json!({
            "event_id": id, "event_type": "OrderCreated", "aggregate_id": id,
            "occurred_at": "2026-01-02T03:04:05Z",
            "order_id": id, "customer_id": "c", "total_amount": "1.00", "currency": "EUR",
            "items": items,
        });
        scene
            .add(&["id", &id, "type", "OrderCreated", "key", &id, "payload", &payload.to_string()])
            .await;
    }
    scene.until_reserved("a", 30).await;
    // Rejected, and given back: neither is decided about again.
    let rejected = scene.reserve("rare", 2_000_000).await;
    scene.tell(orders[0], Uuid::now_v7(), "OrderCancelled", &[]).await;
    scene.until_reserved("a", 29).await;
    scene.until_none_pending().await;
    let told = async || {
        let row = scene.db.query_one("select count(*) from outbox", &[]).await.expect("a count");
        row.get::<_, i64>(0)
    };
    let before = told().await;
    consumer.stop().await;

    scene
        .db
        .batch_execute("truncate orders.inbox; update orders.inventory set on_hand = 5000000")
        .await
        .expect("no inbox");
    scene.call("XGROUP", &["DESTROY", super::STREAM, "inventory"]).await;
    let consumer = scene.start("one", &[]);
    consumer.until_metric("duplicates_total", 31.0).await;
    scene.until_none_pending().await;
    assert_eq!((scene.dead().await.len(), scene.reserved("a").await), (0, Some(29)));
    assert_eq!(told().await, before, "nothing is told twice");
    let row = scene
        .db
        .query_one("select state from orders.reservations where order_id = $1", &[&rejected])
        .await;
    assert_eq!(row.expect("a reservation").get::<_, String>(0), "rejected");
    consumer.stop().await;
}

/// As `outflow dead` does: 69 if there is no server, 78 if the address cannot be used, 2 for a slip
/// of the pen; and the address may be in a file of its own, which no configuration is needed for.
#[tokio::test]
async fn the_exit_code_says_what_went_wrong() {
    let scene = Scene::new().await;
    let file = scene.dir.path().join("address");
    let run = async |url: Option<&str>, args: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_outflow"));
        command.args(["stream", "dead", "list"]).args(args).stdin(std::process::Stdio::null());
        if let Some(url) = url {
            command.env("OUTFLOW_REDIS__URL", url);
        }
        let output = command.output().await.expect("a run");
        let text = String::from_utf8(output.stderr).expect("a text");
        assert!(!text.contains("s3cret"), "{text}");
        (output.status.code(), text)
    };
    let url = scene.redis.url();
    let wrong = url.replace("redis://", "redis://nobody:s3cret@");
    let rows: [(Option<&str>, &[&str], i32, &str); 7] = [
        (Some(&url), &["events.order"], 0, "no dead letters in events.order.dead"),
        (Some(&url), &["events.order", "--dead-letter-stream", "graves"], 0, "in graves"),
        (Some("redis://:s3cret@127.0.0.1:1"), &["events.order"], 69, "cannot reach Redis"),
        (Some("http://:s3cret@h"), &["events.order"], 78, "redis.url"),
        (Some(&wrong), &["events.order"], 78, "WRONGPASS"),
        (None, &["events.order"], 78, "redis.url"),
        (Some(&url), &["events.order", "first"], 2, "expected an entry's id"),
    ];
    for (url, args, code, words) in rows {
        let (found, text) = run(url, args).await;
        assert_eq!(found, Some(code), "{args:?}: {text}");
        assert!(text.contains(words), "{args:?}: {text}");
    }
    std::fs::write(&file, &url).expect("a file");
    let from_file = ["events.order", "--redis-url-file", file.to_str().expect("a path")];
    let (code, text) = run(None, &from_file).await;
    assert_eq!(code, Some(78), "open to others: {text}");
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, own).expect("a mode");
    assert_eq!(run(None, &from_file).await.0, Some(0));
}
