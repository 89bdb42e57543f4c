//! `postgres.control_url` comes, changes and goes with a reload, while events arrive.

use super::POOLED;
use crate::reload::reload;
use crate::support::{Numbered, PgBouncer, Stage, outbox};

const ROWS: Numbered = Numbered { rows: 500, keys: 7 };

#[tokio::test]
async fn a_way_around_the_pooler_comes_and_goes() {
    for section in [outbox("batch_rows = 20"), outbox("settle = \"keep\"\nbatch_rows = 20")] {
        let stage = Stage::new(&section).await;
        let pool = PgBouncer::start(stage.postgres.port(), "transaction", 2, stage.path()).await;
        let direct = stage.postgres.url();
        let file = stage.path().join("outflow.toml");
        let was = std::fs::read_to_string(&file).expect("a file");
        let of = |url: &str, control: Option<&str>| {
            let control = control.map(|url| format!("control_url = \"{url}\"\n"));
            let line = format!("url = \"{direct}\"");
            assert!(was.contains(&line), "{was}");
            let text =
                was.replace(&line, &format!("{}url = \"{url}\"", control.unwrap_or_default()));
            std::fs::write(&file, text).expect("a file");
        };
        let mut relay = stage.relay();
        stage.ready(200).await;
        let more = async |times: i64| {
            ROWS.insert(&stage).await;
            stage.reaches("events.order", ROWS.rows * times).await;
        };
        more(1).await;
        of(&pool.url(), Some(&direct));
        reload(&stage, &mut relay, "success").await;
        more(2).await;
        let pooled = stage.number(POOLED).await;
        assert!(pooled <= 2, "{pooled} sessions");

        // A pooler alone, a way around it to another database, and one to nowhere.
        let other = direct.replace("/postgres", "/other");
        stage.sql("create database other").await;
        let nowhere = "postgres://postgres@127.0.0.1:1/postgres";
        for control in [None, Some(other.as_str()), Some(nowhere)] {
            of(&pool.url(), control);
            reload(&stage, &mut relay, "failure").await;
        }
        more(3).await;

        of(&direct, None);
        reload(&stage, &mut relay, "success").await;
        more(4).await;
        assert!(!relay.log().contains("Redis lost data"), "{}", relay.log_tail());
        let stream = stage.length("events.order").await;
        assert_eq!(stream, ROWS.rows * 4);
    }
}
