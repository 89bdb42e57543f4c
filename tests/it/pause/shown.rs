//! Who has paused what, why, since and until when: wherever people look.

use outflow_local::eventually;
use serde_json::{Value, json};

use super::heeds;
use crate::support::{LIMIT, Stage, outbox};

async fn get(stage: &Stage, path: &str) -> String {
    let url = format!("http://127.0.0.1:{}{path}", stage.admin_port);
    reqwest::get(url).await.expect("an answer").text().await.expect("a text")
}

async fn of_outbox(stage: &Stage) -> Value {
    stage.asked(&["status", "--json"]).await.json()[0]["outboxes"][0].clone()
}

#[tokio::test]
async fn status_probes_metrics_and_check_tell() {
    let stage = Stage::new(&outbox("")).await;
    let relay = stage.relay();
    stage.ready(200).await;
    let none = "outflow_paused{outbox=\"orders\",stream=\"\"} 0\n";
    assert!(stage.metrics().await.contains(none));
    let why = "it is\nTuesday\u{1b}[2J";
    stage.asked(&["pause", "--why", why, "--for", "1h"]).await.data();
    stage.asked(&["pause", "--stream", "events.order", "--why", "schema"]).await.data();
    heeds(&relay, 2).await;
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
                ('order', 'k', 'T', '{}')",
        )
        .await;

    let metrics = stage.metrics().await;
    for line in [
        "outflow_paused{outbox=\"orders\",stream=\"\"} 1\n",
        "outflow_paused{outbox=\"orders\",stream=\"events.order\"} 1\n",
        "outflow_paused_since_timestamp_seconds{outbox=\"orders\",stream=\"\"} 1",
        "outflow_up{outbox=\"orders\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{metrics} has no {line:?}");
    }
    let verbose = get(&stage, "/readyz?verbose").await;
    let lines: Vec<&str> = verbose.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "orders: ok"), "{verbose}");
    assert!(lines[1].starts_with("orders: paused since 20"), "{verbose}");
    assert!(lines[1].contains(": it is\\nTuesday\\u{1b}[2J"), "{verbose}");
    assert!(lines[2].starts_with("orders: stream events.order paused since 20"), "{verbose}");
    let status: Value = serde_json::from_str(&get(&stage, "/status").await).expect("JSON");
    let known = &status["outboxes"][0];
    assert_eq!((&known["paused"][0]["why"], &known["problem"]), (&why.into(), &Value::Null));
    assert_eq!(known["paused"][1]["stream"], "events.order");

    // From the databases alone.
    let of = of_outbox(&stage).await;
    let (whole, stream) = (&of["paused"][0], &of["paused"][1]);
    assert_eq!((&whole["stream"], &whole["why"]), (&Value::Null, &why.into()), "{of}");
    assert_eq!((&stream["stream"], &stream["events"]), (&"events.order".into(), &1.into()));
    for key in ["since", "until", "os_user", "host", "role"] {
        assert!(whole[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {whole}");
    }
    assert_eq!(of["backlog_events"], 1, "they wait, and are counted");
    let causes = of["causes"].to_string();
    assert!(causes.contains("1 events wait for paused streams"), "{causes}");
    let text = stage.asked(&["status"]).await.data();
    for words in ["paused       the whole outbox since 20", "Tuesday\\u{1b}[2J", "; 1 events wait"]
    {
        assert!(text.contains(words), "{text} has no {words:?}");
    }
    let check = stage.asked(&["check"]).await;
    assert_eq!(check.code, Some(0), "{check:?}");
    assert!(check.stdout.contains("stream events.order is paused since"), "{check:?}");

    let resumed = stage.asked(&["resume"]).await;
    let left = "orders: stream events.order stays paused since 20";
    assert!(resumed.code == Some(0) && resumed.stderr.contains(left), "{resumed:?}");
    let resumed = stage.asked(&["resume", "--stream", "events.order"]).await;
    assert!(resumed.code == Some(0) && !resumed.stderr.contains("stays"), "{resumed:?}");
    stage.drained().await;
    let over = async || {
        let metrics = stage.metrics().await;
        let of_stream = "outflow_paused{outbox=\"orders\",stream=\"events.order\"}";
        metrics.contains(none) && !metrics.contains(of_stream)
    };
    eventually(LIMIT, "no metric to tell of a pause", over).await.expect("in time");
    assert_eq!(of_outbox(&stage).await["paused"], json!([]));
    assert_eq!(get(&stage, "/readyz?verbose").await, "orders: ok\n");
}

/// A standby delivers nothing anyway, and shows it as the others do.
#[tokio::test]
async fn a_standby_tells_too() {
    let stage = Stage::new(&outbox("")).await;
    let _active = stage.member("active");
    stage.shared_by(1).await;
    stage.configure(&outbox("format = \"payload\""));
    let standby = stage.relay();
    let stands_by = async || standby.log().contains("standby: ");
    eventually(LIMIT, "a standby", stands_by).await.expect("in time");
    stage.asked(&["pause", "--why", "maintenance"]).await.data();
    heeds(&standby, 1).await;
    let paused = "outflow_paused{outbox=\"orders\",stream=\"\"} 1\n";
    assert!(stage.metrics().await.contains(paused));
}

/// Clears the screen, hides, turns the direction of writing, and starts a line of its own.
const EVIL: &str = "\x1b[2J\u{9b}31m\u{202e}gpj.exe\u{200b}\r\nfake";

/// Neither a reason nor a name acts on a terminal or forges a line.
#[tokio::test]
async fn what_somebody_wrote_is_shown_and_not_done() {
    let stage = Stage::new(&outbox("")).await;
    let stream = format!("events.{EVIL}");
    let client = stage.client().await;
    let insert = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
        ($1, 'k', 'T', '{}')";
    client.execute(insert, &[&EVIL]).await.expect("a row");
    let of_stream = ["--stream", stream.as_str()];
    let commands: [(&[&str], i32); 9] = [
        (&[&["pause", "--why", EVIL], &of_stream[..]].concat(), 0),
        (&[&["pause", "--why", EVIL], &of_stream[..]].concat(), 0),
        (&["status"], 0),
        (&["check"], 0),
        (&["run", "--once"], 1),
        (&["resume"], 1),
        (&["pause", "--why", EVIL, "--stream", EVIL], 78),
        (&["pause", "--why", EVIL], 0),
        (&["run", "--once"], 1),
    ];
    for (args, code) in commands {
        let asked = stage.asked(args).await;
        assert_eq!(asked.code, Some(code), "{args:?}: {asked:?}");
        let text = asked.stdout + &asked.stderr;
        let acts = |character: char| {
            character.is_control() && character != '\n'
                || matches!(character, '\u{200b}' | '\u{202e}')
        };
        assert!(text.contains("gpj.exe") && !text.chars().any(acts), "{args:?}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("fake")), "{args:?}: {text}");
    }
}
