//! What takes longer than a page: a replay of a kept outbox is counted, watched, stopped, and goes
//! on.

use outflow_local::free_port;
use serde_json::json;

use super::tab::Tab;
use crate::console::{OPERATE, configuration};
use crate::support::{Numbered, Stage, outbox};

#[tokio::test]
async fn a_replay_is_counted_watched_stopped_and_goes_on() {
    let kept = "settle = \"keep\"\nbatch_rows = 10";
    let stage = Stage::new(&outbox(kept)).await;
    let port = free_port().expect("a port");
    let listen = format!("listen = \"127.0.0.1:{port}\"");
    crate::console::write_token(&stage, "anna", OPERATE);
    stage.configure(&format!("{}{kept}\n", configuration(&stage, &listen)));
    let numbered = Numbered { rows: 200, keys: 7 };
    numbered.insert(&stage).await;
    let _relay = stage.relay();
    stage.reaches("events.order", 200).await;

    let tab = Tab::open(&stage, port).await;
    tab.log_in(OPERATE).await;
    tab.goto("/actions").await;
    tab.click("Replay…").await;
    tab.fill("to", "again").await;
    tab.fill("rate", "fast").await;
    tab.submit("Count first").await;
    tab.sees(&["Nothing was sent", "\"fast\""]).await;
    tab.fill("rate", "10").await;
    tab.submit("Count first").await;
    tab.sees(&["Send 200 events to again?"]).await;
    assert_eq!(stage.length("again").await, 0, "nothing is done by asking");
    tab.click("Send 200 events").await;
    tab.sees(&["of 200"]).await;
    // The page asks again by itself, and the bar moves.
    tab.until("document.querySelector('progress')?.value > 0").await;
    tab.click("Stop").await;
    tab.sees(&["Stopped after"]).await;
    let sent = stage.length("again").await;
    assert!((1..200).contains(&sent), "{sent}");
    assert_eq!(tab.violations().await, json!([]));

    tab.click("Back").await;
    tab.sees(&[&format!("Send {} events to again?", 200 - sent), "goes on where it was"]).await;
    tab.goto("/actions/replay?outbox=orders&to=again").await;
    tab.click(&format!("Send {} events", 200 - sent)).await;
    stage.reaches("again", 200).await;
    numbered.check(&stage, "again").await;
    tab.shows("/audit", &["replay", "anna", "stopped"]).await;
}
