//! What others wrote (names of streams, ids, keys), wherever the relay shows it: nothing of it acts
//! on a terminal or forges a line. Listings of dead letters and `status` are in dead.rs.

use outflow_local::eventually;
use serde_json::Value;

use crate::support::{LIMIT, Stage, outbox};

/// Clears the screen, retitles, turns the direction of writing, hides, and starts a line of its
/// own.
const EVIL: &str =
    "\x1b[2J\x1b]0;owned\x07\u{9b}31m\u{202e}gpj.exe\u{200b}\u{2028}\u{e0041}\r\nfake";

/// Nothing that acts, and no line that begins as the text wants one to.
fn assert_harmless(what: &str, text: &str) {
    let acts = |character: char| {
        character.is_control() && character != '\n'
            || matches!(character, '\u{200b}' | '\u{202e}' | '\u{2028}' | '\u{e0041}')
    };
    assert!(!text.is_empty() && !text.chars().any(acts), "{what}: {text:?}");
    assert!(!text.lines().any(|line| line.starts_with("fake")), "{what}: {text}");
}

#[tokio::test]
async fn what_others_wrote_does_nothing_in_logs_answers_and_findings() {
    let stage = Stage::new(&outbox("")).await;
    let writer = stage.client().await;
    let insert = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
        ($1, $2, $3, '{}')";
    // A stream that is a string, which parks it; and an event that is delivered.
    stage.run_in_redis("SET", &[&format!("events.{EVIL}"), "a string"]).await;
    for kind in [EVIL, "order"] {
        writer.execute(insert, &[&kind, &EVIL, &EVIL]).await.expect("a row");
    }
    for format in ["json", "text"] {
        let envs = [
            ("OUTFLOW_LOG__FORMAT", format),
            ("OUTFLOW_LOG__LEVEL", "debug,outflow::events=trace"),
        ];
        let mut relay = stage.outflow_with(format, &["run"], &envs);
        let parked = async || relay.log().contains("owned");
        eventually(LIMIT, "the log to tell of the stream", parked).await.expect("in time");
        stage.reaches("events.order", 1).await;
        let mut answers = Vec::new();
        for path in ["/status", "/readyz", "/readyz?verbose"] {
            let url = format!("http://127.0.0.1:{}{path}", stage.admin_port);
            let answer = reqwest::get(url).await.expect("an answer");
            answers.push((path, answer.text().await.expect("a text")));
        }
        relay.terminate();
        relay.wait(LIMIT).await.expect("its end");
        for (path, text) in &answers {
            assert_harmless(path, text);
        }
        let status: Value = serde_json::from_str(&answers[0].1).expect("JSON");
        assert!(status.to_string().contains("gpj.exe"), "the same text: {status}");
        let log = relay.log();
        assert_harmless(format, &log);
        if format == "json" {
            let lines: Vec<Value> =
                log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
            assert!(lines.iter().any(|line| line.to_string().contains("gpj.exe")), "{log}");
        }
    }
    for args in [&["check"][..], &["check", "--json"]] {
        let asked = stage.asked(args).await;
        assert!(asked.stdout.contains("gpj.exe"), "{args:?}: {}", asked.stdout);
        assert_harmless(&args.join(" "), &asked.stdout);
    }
}
