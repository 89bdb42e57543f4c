//! From every published version of the schema to the present one: `outflow migrate` keeps what is
//! there, and the present relay finishes what one of that version left behind when it was killed.
//!
//! `scripts/older-schemas.sh` makes the dumps with the SQL of each version's own commit. The
//! journal is put into Redis as relays of that version wrote it. Its record of a batch has had one
//! form from the first version on. Two things changed: versions 1 and 2 numbered the records by
//! batch, later ones by record; and from version 4 on the journal says by which columns it names
//! rows.

mod halfway;
mod refused;
mod rolling;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use outflow::operate::migrate::VERSION;
use outflow_local::session;

use crate::support::{Asked, LIMIT, Stage, check_numbered, outbox};

const ROLES: &str = include_str!("../../deploy/sql/roles.sql");
const GRANTS: &str = include_str!("../../deploy/sql/grants.sql");
/// What everything in the database is, as one text.
const CATALOG: &str = "select string_agg(what, E'\\n' order by what) from ( \
    select concat_ws(' ', c.oid, c.relname, c.relkind, c.relfilenode, c.relacl) as what from \
    pg_class c where relnamespace in ('public'::regnamespace, 'outflow'::regnamespace) \
    union all select concat_ws(' ', oid, proname, prosrc) from pg_proc where pronamespace = \
    'outflow'::regnamespace \
    union all select concat_ws(' ', oid, tgname, tgenabled, xmin) from pg_trigger where not \
    tgisinternal) as everything";
/// The tables of the schema with their columns, and its functions.
const SHAPE: &str = "select string_agg(what, E'\\n' order by what) from ( \
    select concat_ws(' ', relname, attname, format_type(atttypid, null), attnotnull) as what \
    from pg_attribute join pg_class c on c.oid = attrelid where relnamespace = \
    'outflow'::regnamespace and attnum > 0 and not attisdropped \
    union all select proname from pg_proc where pronamespace = 'outflow'::regnamespace \
    ) as everything";

/// A dump, and how a relay of that version wrote its journal.
struct Dump {
    version: i32,
    sql: &'static str,
    /// The numbers of the two records that are left.
    records: [i32; 2],
    /// Whether the journal says by which columns it names rows.
    is_named: bool,
}

const fn dump(version: i32, sql: &'static str, is_named: bool) -> Dump {
    Dump { version, sql, records: if version < 3 { [3, 4] } else { [1, 2] }, is_named }
}

impl Dump {
    /// Servers with the roles, this dump, and this journal.
    async fn stage(&self) -> Stage {
        let stage = Stage::bare(&outbox("poll_interval = \"50ms\"")).await;
        stage.sql(ROLES).await;
        stage.sql(self.sql).await;
        for event in 1..=12 {
            let Event { id, key, payload } = Event::numbered(event);
            let fields = ["id", &id, "type", "Counted", "key", &key, "payload", &payload];
            stage.command("XADD", &[&["events.order", "*"], &fields[..]].concat()).await;
        }
        let mut journal = vec![
            ("generation".to_owned(), "3".to_owned()),
            ("last:3:7".to_owned(), "4".to_owned()),
            (format!("batch:3:7:{}", self.records[0]), format!(";{}", packed(&[7, 8, 9]))),
            // The stream of the last one refused it.
            (format!("batch:3:7:{}", self.records[1]), format!("3;{}", packed(&[10, 11, 12, 31]))),
        ];
        if self.is_named {
            let names = "{\"id\":\"id\",\"event_id\":\"event_id\"}";
            journal.push(("names:3:".to_owned(), names.to_owned()));
        }
        let mut args = vec!["outflow:journal:{00000000-0000-4000-8000-0000000000aa}"];
        args.extend(journal.iter().flat_map(|(field, value)| [field.as_str(), value]));
        stage.command("HSET", &args).await;
        stage
    }
}

/// One of the thirty events of the dumps.
struct Event {
    id: String,
    key: String,
    payload: String,
}

impl Event {
    fn numbered(i: i64) -> Self {
        let key = format!("k{}", i % 3);
        let payload = format!("{{\"n\": {}, \"key\": \"{key}\"}}", (i - 1) / 3 + 1);
        Self { id: format!("00000000-0000-4000-8000-{i:012}"), key, payload }
    }
}

/// Rows as a record has them: primary key and event id, each with its length before it.
fn packed(rows: &[i64]) -> String {
    rows.iter().fold(String::new(), |mut packed, row| {
        for text in [row.to_string(), Event::numbered(*row).id] {
            let length = u8::try_from(text.len()).expect("a short text");
            let _ = write!(packed, "\0\0\0{}{text}", char::from(length));
        }
        packed
    })
}

fn as_role(stage: &Stage, role: &str) -> String {
    format!("postgres://{role}@127.0.0.1:{}/postgres", stage.postgres.port())
}

async fn asked_as(stage: &Stage, role: &str, args: &[&str]) -> Asked {
    stage.asked_with(args, &[("OUTFLOW_POSTGRES__URL", &as_role(stage, role))]).await
}

async fn text(stage: &Stage, query: &str) -> String {
    stage.client().await.query_one(query, &[]).await.expect(query).get(0)
}

async fn upgraded(dump: &Dump) {
    let stage = dump.stage().await;
    let asked = asked_as(&stage, "outflow_migrator", &["migrate"]).await;
    assert_eq!(asked.code, Some(0), "{asked:?}");
    assert!(asked.stderr.contains("up to date"), "{asked:?}");
    let applied = "select string_agg(version::text, ' ' order by version) from outflow.migration";
    let all: Vec<String> = (1..=VERSION).map(|version| version.to_string()).collect();
    assert_eq!(text(&stage, applied).await, all.join(" "), "each step is noted");
    let as_migrator = session(&as_role(&stage, "outflow_migrator")).await.expect("a session");
    as_migrator.batch_execute(GRANTS).await.expect("grants");
    same_as_new(&stage).await;

    let before = text(&stage, CATALOG).await;
    asked_as(&stage, "outflow_migrator", &["migrate"]).await.data();
    assert_eq!(text(&stage, CATALOG).await, before, "running it again changes nothing");
    asked_as(&stage, "outflow_relay", &["check"]).await.data();

    let url = as_role(&stage, "outflow_relay");
    let mut relay = stage.outflow_with("relay", &["run"], &[("OUTFLOW_POSTGRES__URL", &url)]);
    if dump.version >= 5 {
        stage.emptied("(select from public.outbox where aggregate_type <> 'paused') as rest").await;
        assert_eq!(stage.length("events.paused").await, 0, "the pause is heeded");
        let resume = ["resume", "--stream", "events.paused"];
        asked_as(&stage, "outflow_operator", &resume).await.data();
    }
    stage.drained().await;
    letters(dump, &stage).await;
    relay.terminate();
    assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());

    let counted = check_numbered(&stage.entries("events.order").await);
    let ten_each = (0..3).map(|key| (format!("k{key}"), 10)).collect::<BTreeMap<_, _>>();
    assert_eq!(counted, ten_each, "{}", relay.log_tail());
    assert_eq!(stage.length("events.refused").await, 1, "what was refused is delivered once");
    assert_eq!(stage.length("events.unsettled").await, 0, "what was appended long ago is not");
    assert_eq!(stage.length("events.paused").await, i64::from(dump.version >= 5));
    if dump.version >= 5 {
        let kept = "select count(*) from outflow.audit where action = 'discard' and os_user = \
            'ada' and via = 'command line'";
        assert_eq!(stage.number(kept).await, 1, "the audit is kept");
    }
}

/// The dead letters are shown, and put back. Version 1 did not keep the columns of the stream's
/// name: that is said, and nothing is lost.
async fn letters(dump: &Dump, stage: &Stage) {
    let list = ["dead", "list", "--json"];
    let letters = asked_as(stage, "outflow_operator", &list).await.json();
    let reasons: Vec<_> = letters.iter().map(|letter| letter["reason"].as_str()).collect();
    assert_eq!(reasons, [Some("refused"), Some("too_large")]);
    let retry = ["dead", "retry", "--yes"];
    let retried = asked_as(stage, "outflow_operator", &retry).await;
    if dump.version == 1 {
        assert_eq!(retried.code, Some(1), "{retried:?}");
        assert!(retried.stderr.contains("aggregate_type"), "{retried:?}");
        assert_eq!(stage.number("select count(*) from outflow.dead_letter").await, 2);
    } else {
        retried.data();
        stage.reaches("events.dead", 2).await;
        stage.drained().await;
        assert_eq!(stage.number("select count(*) from outflow.dead_letter").await, 0);
    }
}

/// A database that is migrated from nothing has the same tables.
async fn same_as_new(stage: &Stage) {
    stage.sql("create database new").await;
    let url = format!("postgres://postgres@127.0.0.1:{}/new", stage.postgres.port());
    stage.asked_with(&["migrate"], &[("OUTFLOW_POSTGRES__URL", &url)]).await.data();
    let new = session(&url).await.expect("a session");
    let expected: String = new.query_one(SHAPE, &[]).await.expect("the shape").get(0);
    assert_eq!(text(stage, SHAPE).await, expected);
}

macro_rules! from_versions {
    ($($name:ident: $file:literal, $version:literal, $is_named:literal;)*) => {$(
        #[tokio::test]
        async fn $name() {
            upgraded(&dump($version, include_str!($file), $is_named)).await;
        }
    )*};
}

from_versions! {
    from_version_1: "upgrades/schema-1.sql", 1, false;
    from_version_2_without_slots: "upgrades/schema-2-early.sql", 2, false;
    from_version_2: "upgrades/schema-2.sql", 2, false;
    from_version_3: "upgrades/schema-3.sql", 3, false;
    from_version_4_without_letters_in_full: "upgrades/schema-4-early.sql", 4, false;
    from_version_4: "upgrades/schema-4.sql", 4, true;
    from_version_5: "upgrades/schema-5.sql", 5, true;
    from_version_6_without_history: "upgrades/schema-6-early.sql", 6, true;
    from_version_6: "upgrades/schema-6.sql", 6, true;
    from_version_7: "upgrades/schema-7.sql", 7, true;
}
