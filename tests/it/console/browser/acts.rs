//! What is wrong in the night is mended in the browser, each thing with its effect.

use super::shop::{STREAM, Shop};

const DEAD: &str = "events.order.dead";

/// Pausing, resuming, and a parked stream.
#[tokio::test]
async fn outboxes_and_streams_are_stopped_and_go_on() {
    let shop = Shop::open().await;
    let (stage, tab) = (&shop.stage, shop.visited().await);
    tab.click("Pause…").await;
    tab.fill("why", "the disk of Redis is changed").await;
    tab.fill("length", "soon").await;
    tab.click("Pause").await;
    tab.sees(&["for how long: "]).await;
    let paused = "select count(*) from outflow.pause where stream = '' and os_user = 'anna \
        (console)' and until between now() + interval '29 min' and now() + interval '30 min'";
    assert_eq!(stage.number(paused).await, 0);
    tab.click_beside("orders", "Pause…").await;
    tab.fill("why", "the disk of Redis is changed").await;
    tab.fill("length", "30m").await;
    tab.click("Pause").await;
    tab.sees(&["Paused outbox orders for 30m.", "the disk of Redis is changed"]).await;
    assert_eq!(stage.number(paused).await, 1);
    tab.shows("/", &["paused", "by anna (console)"]).await;
    tab.click_beside("the disk of Redis", "Resume…").await;
    tab.click("Resume").await;
    tab.sees(&["Resumed outbox orders."]).await;
    assert_eq!(stage.number(paused).await, 0);

    // The stream that was paused, and the one that is parked, get what waits for them.
    tab.click_beside("events.invoice", "Resume…").await;
    tab.sees(&["It is paused", "until the ledger is closed"]).await;
    tab.click("Resume").await;
    tab.sees(&["Resumed stream events.invoice of orders."]).await;
    stage.reaches("events.invoice", 1).await;
    stage.command("DEL", &["events.refund"]).await;
    tab.goto("/").await;
    tab.click("Retry now…").await;
    tab.sees(&["Retry stream events.refund now?"]).await;
    tab.click("Retry now").await;
    tab.sees(&["The relays try stream events.refund now."]).await;
    stage.reaches("events.refund", 2).await;
    stage.drained().await;
    let noted = "select count(*) from outflow.audit where via = 'console' and operator = 'anna'";
    assert_eq!(stage.number(noted).await, 4);
}

/// Of the relay: asked first, then discarded, or put back into the table.
#[tokio::test]
async fn dead_letters_of_the_relay_are_discarded_and_retried() {
    let shop = Shop::open().await;
    let (stage, tab) = (&shop.stage, shop.visited().await);
    // So that what is retried is seen in the table.
    stage.asked(&["pause", "--outbox", "orders", "--why", "to look"]).await.data();
    let letters = "select count(*) from outflow.dead_letter";
    tab.goto("/dead-letters").await;
    tab.click_beside("too_large", "Discard…").await;
    tab.sees(&["Permanently delete 3 dead letters?", "orders: 3 × too_large"]).await;
    tab.click("Cancel").await;
    tab.shows("/dead-letters", &["4 dead letters"]).await;
    assert_eq!(stage.number(letters).await, 4, "nothing is done by asking");
    tab.click("Show all").await;
    tab.click("1").await;
    tab.sees(&["Dead letter 1", "import-1"]).await;
    tab.click("Retry…").await;
    tab.click("Retry 1 dead letter").await;
    tab.sees(&["1 dead letters were retried."]).await;
    let again = "select count(*) from outbox where aggregate_id = 'import-1'";
    assert_eq!((stage.number(letters).await, stage.number(again).await), (3, 1));
    tab.click_beside("too_large", "Discard…").await;
    tab.click("Permanently delete 2 dead letters").await;
    tab.sees(&["2 dead letters were discarded."]).await;
    assert_eq!(stage.number(letters).await, 1);
    tab.shows("/audit", &["discard dead letters", "retry dead letters", "anna"]).await;
}

#[tokio::test]
async fn dead_letters_of_consumers_are_retried_and_discarded() {
    let shop = Shop::open().await;
    let (stage, tab) = (&shop.stage, shop.visited().await);
    tab.goto("/dead-letters").await;
    tab.click(STREAM).await;
    tab.sees(&["5 dead letters in"]).await;
    tab.click_beside("HTTP #", "Retry…").await;
    tab.sees(&["Retry 3 dead letters?", "group: mailer"]).await;
    assert_eq!((stage.length(DEAD).await, stage.length(STREAM).await), (5, 60));
    tab.click("Retry 3 dead letters").await;
    tab.sees(&["3 dead letters were retried."]).await;
    assert_eq!((stage.length(DEAD).await, stage.length(STREAM).await), (2, 63));
    tab.click_beside("no template", "no template for the language \"tlh\"").await;
    tab.sees(&["dead_error"]).await;
    tab.click_beside("no template", "Discard…").await;
    tab.click("Permanently delete 1 dead letter").await;
    tab.sees(&["1 dead letters were discarded."]).await;
    assert_eq!(stage.length(DEAD).await, 1);
    assert!(stage.entries(DEAD).await[0].field("dead_error").contains("panicked"));
}

#[tokio::test]
async fn a_stale_group_is_dropped_and_one_that_is_used_is_not() {
    let shop = Shop::open().await;
    let (stage, tab) = (&shop.stage, shop.visited().await);
    tab.goto("/streams").await;
    tab.click("mailer").await;
    tab.click("Drop this group…").await;
    tab.sees(&["is in use"]).await;
    tab.goto("/streams").await;
    tab.click("search").await;
    tab.sees(&["The group has no consumers."]).await;
    tab.click("Drop this group…").await;
    tab.sees(&["Drop group search of events.order?", "60 entries were not read"]).await;
    tab.click("Drop the group").await;
    tab.sees(&["Dropped group search of events.order"]).await;
    let groups = stage.command("XINFO", &["GROUPS", STREAM]).await;
    assert_eq!(groups.items().len(), 2);
}

/// An event is found from what somebody was told on the telephone.
#[tokio::test]
async fn events_are_searched_for_by_key_and_in_a_stream() {
    let shop = Shop::open().await;
    let tab = shop.visited().await;
    tab.goto("/find").await;
    tab.fill("text", "order-1007").await;
    tab.submit("Find").await;
    tab.sees(&["OrderPlaced", "OrderPaid", "OrderShipped", "acknowledged", "What was looked at"])
        .await;
    tab.goto("/streams").await;
    tab.click(STREAM).await;
    tab.fill("key", "order-1007").await;
    tab.submit("Search").await;
    let found = tab.sees(&["order-1007", "entries that were looked at"]).await;
    assert!(!found.contains("order-1008"), "{found}");
}
