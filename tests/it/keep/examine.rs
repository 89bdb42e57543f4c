//! What `outflow check` finds in a kept table, and that the statements it prints mend it.

use serde_json::Value;

use super::kept;
use crate::support::{Stage, outbox};

const PLAIN: &str = "layout = \"plain\"";

/// The findings of a check, and its exit code.
async fn check(stage: &Stage) -> (Option<i32>, Vec<Value>) {
    let asked = stage.asked(&["check", "--json"]).await;
    let findings: Vec<Value> =
        asked.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(!findings.is_empty(), "{asked:?}");
    // Of the servers of these tests.
    let is_ours = |finding: &Value| finding["about"] != "postgres" && finding["about"] != "redis";
    (asked.code, findings.into_iter().filter(is_ours).collect())
}

/// What the findings of this level say, and their remedies.
fn told(findings: &[Value], level: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of_level = findings.iter().filter(|finding| finding["level"] == level);
    of_level.map(|finding| (text(&finding["what"]), text(&finding["remedy"]["text"]))).collect()
}

/// Everything that this table lacks is named at once, and the printed statements are enough.
#[tokio::test]
async fn an_own_table_is_told_how_to_be_kept() {
    let own = "table = \"public.mine\"\nsettle = \"keep\"";
    let stage = Stage::bare(&outbox("").replace("public.outbox", "public.mine")).await;
    stage.configure(&outbox("").replace("table = \"public.outbox\"", own));
    stage
        .sql(
            "create table mine (id bigint generated always as identity, event_id uuid not null \
             default gen_random_uuid(), aggregate_type text, aggregate_id text, event_type text, \
             payload jsonb, headers jsonb, created_at timestamptz); insert into mine \
             (aggregate_type, event_type) values ('order', 'T')",
        )
        .await;
    stage.migrate().await;
    let (code, findings) = check(&stage).await;
    assert_eq!(code, Some(78), "{findings:?}");
    let (what, remedies): (Vec<_>, Vec<_>) = told(&findings, "error").into_iter().unzip();
    assert_eq!(
        remedies,
        [
            "alter table \"public\".\"mine\" add column \"xid\" xid8 not null default \
             pg_current_xact_id();",
            "create index concurrently on \"public\".\"mine\" (\"id\");",
            "create index concurrently on \"public\".\"mine\" (\"xid\", \"id\");",
        ],
        "{what:?}"
    );
    assert!(what[0].contains("columns.xid names \"xid\", but public.mine has no such"), "{what:?}");
    for remedy in &remedies {
        stage.sql(remedy).await;
    }
    let (code, findings) = check(&stage).await;
    assert_eq!((code, told(&findings, "error")), (Some(0), Vec::new()));
    assert_eq!(stage.number("select count(*) from mine where xid is not null").await, 1);
}

/// One thing at a time is taken from a table that has all that is needed.
#[tokio::test]
async fn each_thing_that_is_missing_is_named_and_mended() {
    let stage = Stage::new(&kept(PLAIN)).await;
    let (code, findings) = check(&stage).await;
    assert_eq!((code, told(&findings, "error")), (Some(0), Vec::new()));
    let cases = [
        (
            "alter table outbox alter xid drop default",
            "must have the default pg_current_xact_id(); found none",
            "alter table \"public\".\"outbox\" alter column \"xid\" set default",
        ),
        (
            "alter table outbox alter xid set default '5'",
            "found '5'::xid8",
            "alter table \"public\".\"outbox\" alter column \"xid\" set default",
        ),
        (
            "alter table outbox alter xid drop not null",
            "may be null",
            "update \"public\".\"outbox\" set \"xid\" = default where \"xid\" is null; alter",
        ),
        (
            "drop index outbox_xid_id",
            "no index that begins with (\"xid\", \"id\")",
            "create index concurrently on \"public\".\"outbox\" (\"xid\", \"id\");",
        ),
        (
            "alter table outbox drop constraint outbox_pkey",
            "no index that begins with (\"id\")",
            "create index concurrently on \"public\".\"outbox\" (\"id\");",
        ),
        ("alter table outbox set unlogged", "outbox is UNLOGGED", "alter table outbox set logged;"),
    ];
    for (breaking, words, remedy) in cases {
        stage.sql(breaking).await;
        let (code, findings) = check(&stage).await;
        let errors = told(&findings, "error");
        assert_eq!((code, errors.len()), (Some(78), 1), "{breaking}: {errors:?}");
        assert!(errors[0].0.contains(words), "{breaking}: {errors:?}");
        assert!(errors[0].1.starts_with(remedy), "{breaking}: {errors:?}");
        for statement in errors[0].1.split_inclusive(';') {
            stage.sql(statement).await;
        }
        let (code, findings) = check(&stage).await;
        assert_eq!((code, told(&findings, "error")), (Some(0), Vec::new()), "{breaking}");
    }
}

#[tokio::test]
async fn columns_of_other_types_are_named() {
    let stage = Stage::new(&kept(PLAIN)).await;
    let cases = [
        ("xid = \"id\"", "columns.xid names \"id\"", "which is bigint; expected xid8"),
        ("order = \"created_at\"", "columns.order names \"created_at\"", "bigint, which settle"),
    ];
    for (mapping, key, words) in cases {
        stage.configure(&kept(&format!("[outbox.columns]\n{mapping}")));
        let (code, findings) = check(&stage).await;
        let errors = told(&findings, "error");
        assert_eq!(code, Some(78), "{mapping}: {errors:?}");
        assert!(
            errors.iter().any(|(what, _)| what.contains(key) && what.contains(words)),
            "{mapping}: {errors:?}"
        );
    }
}

/// A role that may only connect: the printed lines let it read the mapped columns, and nothing
/// else.
#[tokio::test]
async fn the_printed_grants_are_enough_and_no_more() {
    for (more, removal) in [("", "truncate"), (PLAIN, "delete")] {
        let stage = Stage::new(&kept(more)).await;
        stage
            .sql(
                "alter table outbox add column secret text; create role poor login; revoke all on \
                 schema public from public; grant usage on schema public to poor",
            )
            .await;
        let file = stage.path().join("outflow.toml");
        let text = std::fs::read_to_string(&file).expect("a file");
        std::fs::write(&file, text.replace("postgres://postgres@", "postgres://poor@"))
            .expect("a file");
        for _ in 0..2 {
            let (_, findings) = check(&stage).await;
            for (_, statement) in told(&findings, "error") {
                stage.sql(&statement).await;
            }
        }
        let (code, findings) = check(&stage).await;
        assert_eq!((code, told(&findings, "error")), (Some(0), Vec::new()), "{more}");
        let may = |privilege: &str, column: &str| {
            format!(
                "select has_column_privilege('poor', 'outbox', '{column}', \
                 '{privilege}')::integer::bigint"
            )
        };
        assert_eq!(stage.number(&may("select", "xid")).await, 1);
        assert_eq!(stage.number(&may("select", "secret")).await, 0);
        assert_eq!(stage.number(&may("update", "id")).await, 0);
        // To remove old rows is another matter.
        let warnings = told(&findings, "warning");
        let grant = warnings.iter().find(|(what, _)| what.contains("may not remove old rows"));
        let (_, grant) = grant.unwrap_or_else(|| panic!("{warnings:?}"));
        assert!(grant.starts_with(&format!("grant {removal} on ")), "{grant}");
        stage.sql(grant).await;
        let (_, findings) = check(&stage).await;
        let warnings = told(&findings, "warning");
        assert!(!warnings.iter().any(|(what, _)| what.contains("old rows")), "{warnings:?}");

        // Hidden rows would be passed for good.
        stage.sql("alter table outbox enable row level security").await;
        let (code, findings) = check(&stage).await;
        let errors = told(&findings, "error");
        assert_eq!((code, errors.len()), (Some(78), 1), "{errors:?}");
        assert!(errors[0].0.contains("row security may hide rows"), "{errors:?}");
        stage.sql(&errors[0].1).await;
        assert_eq!(check(&stage).await.0, Some(0));
    }
}

#[tokio::test]
async fn a_ring_that_does_not_fit_is_named() {
    let stage = Stage::new(&kept("")).await;
    let (code, findings) = check(&stage).await;
    assert_eq!((code, told(&findings, "error")), (Some(0), Vec::new()));
    let is_told = |findings: &[Value], level: &str, words: &str| {
        told(findings, level).into_iter().find(|(what, _)| what.contains(words))
    };
    assert!(is_told(&findings, "ok", "a ring of 9 partitions of one day each").is_some());

    stage.configure(&kept("for = \"30d\""));
    let (code, findings) = check(&stage).await;
    let small = is_told(&findings, "warning", "keeps rows for 7days, but keep.for is 30days");
    assert!(small.is_some_and(|(_, remedy)| remedy.contains("keep.for to 7days")), "{findings:?}");
    assert_eq!(code, Some(0));

    stage.configure(&kept(""));
    stage.sql("create table stray partition of outbox default").await;
    let (_, findings) = check(&stage).await;
    let stray = is_told(&findings, "warning", "the partition stray is not part of the ring");
    stage.sql(&stray.unwrap_or_else(|| panic!("{findings:?}")).1).await;
    let (_, findings) = check(&stage).await;
    assert_eq!(is_told(&findings, "warning", "stray"), None);

    stage.sql("drop table outbox_p3").await;
    let (code, findings) = check(&stage).await;
    let gap = is_told(&findings, "error", "lacks the partition 3");
    assert_eq!(code, Some(78), "{findings:?}");
    stage.sql(&gap.unwrap_or_else(|| panic!("{findings:?}")).1).await;
    assert_eq!(check(&stage).await.0, Some(0));

    // Partitions by something else.
    stage
        .sql(
            "alter table outbox rename to ring; create table outbox (like ring including all) \
             partition by list (aggregate_type); create table other partition of outbox default",
        )
        .await;
    stage.sql("delete from outflow.outbox").await;
    stage.migrate().await;
    let (code, findings) = check(&stage).await;
    assert!(
        is_told(&findings, "warning", "`outflow migrate` did not create").is_some(),
        "{findings:?}"
    );
    assert_eq!(code, Some(0), "{findings:?}");
}

/// They would be doubled for ever, or lost once the server gets there.
#[tokio::test]
async fn rows_of_another_server_are_refused() {
    for more in ["", PLAIN] {
        let stage = Stage::new(&kept(more)).await;
        let row = |xid: &str| {
            format!(
                "insert into outbox (xid, aggregate_type, aggregate_id, event_type, payload) \
                 values ({xid}, 'order', 'k', 'T', '{{}}')"
            )
        };
        stage.sql(&row("default")).await;
        assert_eq!(check(&stage).await.0, Some(0), "a row of this server");
        stage.sql(&row("'4000000000'")).await;
        let (code, findings) = check(&stage).await;
        let errors = told(&findings, "error");
        assert_eq!((code, errors.len()), (Some(78), 1), "{errors:?}");
        assert!(errors[0].0.contains("the row 2 has a transaction number"), "{errors:?}");
        assert!(errors[0].1.contains("outflow position set --outbox orders"), "{errors:?}");
    }
}
