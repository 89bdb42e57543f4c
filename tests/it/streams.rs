//! `outflow stream list` and `show`: who is behind, and by how much.

use serde_json::Value;

use crate::support::{Numbered, Stage, outbox};

const STREAM: &str = "events.order";

/// A stream of 100 entries: the group `fast` has read all, `slow` has read 10 and acknowledged 4.
async fn scene() -> Stage {
    let stage = Stage::new(&outbox("")).await;
    Numbered { rows: 100, keys: 7 }.insert(&stage).await;
    stage.once().await;
    stage.command("XGROUP", &["CREATE", STREAM, "fast", "$"]).await;
    stage.command("XGROUP", &["CREATE", STREAM, "slow", "0"]).await;
    let read = ["GROUP", "slow", "one", "COUNT", "10", "STREAMS", STREAM, ">"];
    let reply = stage.command("XREADGROUP", &read).await;
    for entry in &reply.items()[0].items()[1].items()[..4] {
        let id = entry.items()[0].string().expect("an id");
        stage.command("XACK", &[STREAM, "slow", &id]).await;
    }
    stage
}

fn group<'a>(stream: &'a Value, name: &str) -> &'a Value {
    let groups = stream["groups"].as_array().expect("groups");
    groups.iter().find(|group| group["group"] == name).expect(name)
}

#[tokio::test]
async fn lag_pending_ages_and_consumers_are_shown() {
    let stage = scene().await;
    let list = stage.asked(&["stream", "list", "--json"]).await.json();
    let one = stage.asked(&["stream", "show", STREAM, "--json"]).await.json();
    for stream in [&list[0], &one[0]] {
        assert_eq!((&stream["stream"], &stream["entries"]), (&STREAM.into(), &100.into()));
        assert!(stream["memory_bytes"].as_i64().is_some_and(|bytes| bytes > 100 * 200));
        assert!(
            stream["first_entry_age_seconds"].as_f64() >= stream["last_entry_age_seconds"].as_f64()
        );
        assert_eq!(stream["problems"], serde_json::json!([]));
        let (fast, slow) = (group(stream, "fast"), group(stream, "slow"));
        assert_eq!((&fast["pending"], &fast["consumers"]), (&0.into(), &serde_json::json!([])));
        assert!(fast["oldest_pending_age_seconds"].is_null());
        assert_eq!((&slow["lag"], &slow["pending"]), (&90.into(), &6.into()));
        assert!(slow["oldest_pending_age_seconds"].as_f64().is_some_and(|age| age >= 0.0));
        let reader = &slow["consumers"][0];
        assert_eq!((&reader["consumer"], &reader["pending"]), (&"one".into(), &6.into()));
        assert!(reader["idle_seconds"].as_f64().is_some());
    }
    let text = stage.asked(&["stream", "list"]).await.data();
    assert!(text.starts_with("STREAM") && text.contains("slow   90   6"), "{text}");
    let text = stage.asked(&["stream", "show", STREAM]).await.data();
    assert!(text.contains("group slow: lag 90, 6 pending") && text.contains("CONSUMER"), "{text}");
}

/// A stream that fits no template is shown by its name; one that is not there names the others.
#[tokio::test]
async fn a_stream_may_be_named_and_an_unknown_one_names_the_known() {
    let stage = scene().await;
    stage.command("XADD", &["theirs", "*", "f", "v"]).await;
    let list = stage.asked(&["stream", "list", "--json"]).await.json();
    assert_eq!(list.len(), 1, "{list:?}");
    let file = stage.path().join("redis-url");
    std::fs::write(&file, stage.redis.url()).expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, mode).expect("a file of ours");
    let file = file.display().to_string();
    let args = ["stream", "show", "theirs", "--json", "--redis-url-file", &file];
    let shown = stage.asked(&args).await.json();
    assert_eq!((&shown[0]["entries"], &shown[0]["groups"]), (&1.into(), &serde_json::json!([])));
    for (name, words) in [
        ("events.bill", "there is no stream \"events.bill\"; the streams of the configuration are"),
        ("no\u{1b}[2Jname", "events.order"),
    ] {
        let unknown = stage.asked(&["stream", "show", name]).await;
        assert_eq!(unknown.code, Some(1), "{unknown:?}");
        assert!(unknown.stderr.contains(words), "{unknown:?}");
        assert!(!unknown.stderr.contains('\u{1b}'), "{unknown:?}");
    }
    stage.command("SET", &["text", "1"]).await;
    let wrong = stage.asked(&["stream", "show", "text"]).await;
    assert!(wrong.code == Some(1) && wrong.stderr.contains("WRONGTYPE"), "{wrong:?}");
    stage.command("DEL", &[STREAM]).await;
    let none = stage.asked(&["stream", "list"]).await;
    assert!(none.stderr.contains("no stream fits the configuration yet"), "{none:?}");
}

/// What a user may not ask is named, each with the line that allows it.
#[tokio::test]
async fn a_missing_permission_is_named_with_its_line() {
    let stage = scene().await;
    let rights = ["on", ">hunter2", "%R~events.*", "+@all", "-memory", "-time", "-xpending"];
    let rights = [&["SETUSER", "viewer"], rights.as_slice(), &["-xinfo|consumers"]].concat();
    stage.command("ACL", &rights).await;
    let url = stage.redis.url().replace("redis://", "redis://viewer:hunter2@");
    let as_viewer = [("OUTFLOW_REDIS__URL", url.as_str())];
    let args = ["stream", "show", STREAM, "--json"];
    let asked = stage.asked_with(&args, &as_viewer).await.json();
    let problems = asked[0]["problems"].to_string();
    assert_eq!((&asked[0]["entries"], &asked[0]["memory_bytes"]), (&100.into(), &Value::Null));
    for rule in ["memory|usage", "time", "xpending", "xinfo|consumers"] {
        assert!(problems.contains(&format!("ACL SETUSER viewer +{rule}")), "{rule}: {problems}");
        stage.command("ACL", &["SETUSER", "viewer", &format!("+{rule}")]).await;
    }
    let asked = stage.asked_with(&args, &as_viewer).await.json();
    assert_eq!(asked[0]["problems"], serde_json::json!([]));
    stage.command("ACL", &["SETUSER", "viewer", "-xinfo"]).await;
    let refused = stage.asked_with(&args, &as_viewer).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("+xinfo|stream"), "{refused:?}");
}

/// `--watch` ends with its reader.
#[tokio::test]
async fn a_watch_shows_it_again_and_again() {
    let stage = scene().await;
    let program =
        stage.outflow("watch", &["stream", "list", "--json", "--watch", "--interval", "50ms"]);
    let again = outflow_local::eventually(crate::support::LIMIT, "three lists", async || {
        program.log().matches("\"entries\":100").count() >= 3
    });
    again.await.unwrap_or_else(|error| panic!("{error}: {}", program.log()));
}
