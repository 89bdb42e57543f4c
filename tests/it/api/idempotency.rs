//! Requests that are repeated, and limits on requests.

use outflow_local::session;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{Api, body, header, order_with};

fn order(quantity: u32) -> String {
    order_with(&json!([{ "sku": "a", "quantity": quantity, "unit_price": "1.10" }]))
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_ones_answer_and_changes_nothing() {
    let api = Api::ready().await;
    let key = [("idempotency-key", "8e03978e-40d5")];
    let first = api.post_with("/orders", &key, order(1)).await;
    assert_eq!((first.status(), header(&first, "idempotency-replayed")), (StatusCode::CREATED, ""));
    let (location, first) =
        (header(&first, "location").to_owned(), first.text().await.expect("a text"));
    for _ in 0..2 {
        let again = api.post_with("/orders", &key, order(1)).await;
        assert_eq!(
            (again.status(), header(&again, "idempotency-replayed")),
            (StatusCode::CREATED, "true")
        );
        assert_eq!(
            (header(&again, "location"), header(&again, "content-type")),
            (location.as_str(), "application/json")
        );
        assert_eq!(again.text().await.expect("a text"), first);
    }
    assert_eq!(api.counts().await, (1, 1));

    let other = api.post_with("/orders", &key, order(2)).await;
    assert_eq!(other.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        body(other).await["detail"].as_str().is_some_and(|detail| detail.contains("another body"))
    );
    // A request that is refused uses up no key.
    let refused = api.post_with("/orders", &[("idempotency-key", "later")], "{}").await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        api.post_with("/orders", &[("idempotency-key", "later")], order(3)).await.status(),
        StatusCode::CREATED
    );
    assert_eq!(api.counts().await, (2, 2));

    for bad in ["", "with space", &"k".repeat(256)] {
        let refused = api.post_with("/orders", &[("idempotency-key", bad)], order(1)).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{bad:?}");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    assert_eq!(api.post_with("/orders", &twice, order(1)).await.status(), StatusCode::BAD_REQUEST);

    // As if a day had passed.
    api.query(
        "update orders.idempotency set created_at = created_at - interval '24 hours 1 second'",
    )
    .await;
    let fresh = api.post_with("/orders", &key, order(2)).await;
    assert_eq!((fresh.status(), header(&fresh, "idempotency-replayed")), (StatusCode::CREATED, ""));
    let again = api.post_with("/orders", &key, order(2)).await;
    assert_eq!(header(&again, "idempotency-replayed"), "true", "it was written over");
    assert_eq!(api.counts().await, (3, 3));
}

#[tokio::test]
async fn of_two_requests_at_once_one_is_told_that_the_other_is_in_progress() {
    let api = Api::ready().await;
    let client = session(&api.postgres.url()).await.expect("a session");
    client.batch_execute("begin; lock table outbox in exclusive mode").await.expect("a lock");
    let key = [("idempotency-key", "k")];
    let second = async {
        api.until_waiting(1).await;
        let second = api.post_with("/orders", &key, order(1)).await;
        client.batch_execute("commit").await.expect("an unlock");
        second
    };
    let (first, second) = tokio::join!(api.post_with("/orders", &key, order(1)), second);
    assert_eq!((first.status(), second.status()), (StatusCode::CREATED, StatusCode::CONFLICT));
    assert_eq!(header(&second, "retry-after"), "2");
    assert!(
        body(second).await["detail"].as_str().is_some_and(|detail| detail.contains("in progress"))
    );
    assert_eq!(
        header(&api.post_with("/orders", &key, order(1)).await, "idempotency-replayed"),
        "true"
    );
    assert_eq!(api.counts().await, (1, 1));
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused_and_probes_are_not() {
    let api = Api::ready_with(&["--requests-max", "1"]).await;
    let client = session(&api.postgres.url()).await.expect("a session");
    client.batch_execute("begin; lock table outbox in exclusive mode").await.expect("a lock");
    let others = async {
        api.until_waiting(1).await;
        let refused = api.post("/orders", order(1)).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            (header(&refused, "retry-after"), header(&refused, "content-type")),
            ("2", "application/problem+json")
        );
        assert_eq!(api.get("/livez").await.status(), StatusCode::OK);
        client.batch_execute("commit").await.expect("an unlock");
    };
    let (first, ()) = tokio::join!(api.post("/orders", order(1)), others);
    assert_eq!(first.status(), StatusCode::CREATED);
    assert_eq!(api.post("/orders", order(1)).await.status(), StatusCode::CREATED);
    assert_eq!(api.counts().await, (2, 2));
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let api = Api::ready().await;
    let ours = api.get("/orders/none").await;
    assert_eq!(header(&ours, "x-request-id").len(), 36, "made here");
    for (sent, kept) in [("req-1", true), ("two words", false), (&"r".repeat(129) as &str, false)] {
        let answer = api
            .request(Method::GET, "/livez")
            .header("x-request-id", sent)
            .send()
            .await
            .expect("an answer");
        assert_eq!(header(&answer, "x-request-id") == sent, kept, "{sent:?}");
    }
}
