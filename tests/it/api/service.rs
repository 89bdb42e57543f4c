//! The service around the orders: without Postgres, when it is stopped, and with options that make
//! no sense.

use outflow_local::{eventually, session};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{Api, LIMIT, header, order_with};
use crate::support::{event_table, program};

#[tokio::test]
async fn postgres_may_be_away_at_the_start_and_later() {
    let mut api = Api::start().await;
    // The outbox table is missing: said so, and no order is taken.
    let cause = eventually(LIMIT, "the outbox to be missed", async || {
        let text = api.until_readyz(StatusCode::SERVICE_UNAVAILABLE).await;
        text.contains("outbox table is missing").then_some(text)
    });
    assert!(cause.await.expect("in time").contains("outflow migrate"));
    let order = order_with(&json!([{ "sku": "a", "quantity": 1, "unit_price": 1 }]));
    assert_eq!(api.post("/orders", order.clone()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    api.query(&event_table("public.outbox")).await;
    api.until_readyz(StatusCode::OK).await;
    assert_eq!(api.post("/orders", order.clone()).await.status(), StatusCode::CREATED);

    api.postgres.stop_immediate().await.expect("a crash");
    let response = api.post("/orders", order.clone()).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(&response, "retry-after"), "2");
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    assert!(api.until_readyz(StatusCode::SERVICE_UNAVAILABLE).await.contains("Postgres"));
    assert_eq!(api.get("/livez").await.status(), StatusCode::OK);

    api.postgres.start_again().await.expect("a start");
    api.until_readyz(StatusCode::OK).await;
    assert_eq!(api.post("/orders", order).await.status(), StatusCode::CREATED);
    assert_eq!(api.counts().await, (2, 2));
    let metrics = api.get("/metrics").await.text().await.expect("a text");
    for line in [
        r#"order_api_requests_total{method="POST",route="/orders",status="201"} 2"#,
        r#"order_api_requests_total{method="POST",route="/orders",status="503"} 2"#,
        "order_api_orders_created_total 2",
        "order_api_orders_cancelled_total 0",
        r#"order_api_request_seconds_count{route="/orders"} 4"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_stop_finishes_the_request_in_hand_and_exits_0() {
    let mut api = Api::ready().await;
    let client = session(&api.postgres.url()).await.expect("a session");
    client.batch_execute("begin; lock table outbox in exclusive mode").await.expect("a lock");
    let order = order_with(&json!([{ "sku": "a", "quantity": 1, "unit_price": 1 }]));
    let request =
        api.request(Method::POST, "/orders").header("content-type", "application/json").body(order);
    let answer = tokio::spawn(request.send());
    api.until_waiting(1).await;
    api.program.terminate();
    eventually(LIMIT, "the stop", async || api.program.log().contains("received a stop signal"))
        .await
        .expect("in time");
    client.batch_execute("commit").await.expect("an unlock");
    assert_eq!(answer.await.expect("no panic").expect("an answer").status(), StatusCode::CREATED);
    assert!(
        api.program.wait(LIMIT).await.expect("its end").success(),
        "{}",
        api.program.log_tail()
    );
    assert_eq!(api.counts().await, (1, 1));
}

#[tokio::test]
async fn bad_options_are_refused_without_printing_a_secret() {
    let rows: [(&[&str], i32, &str); 5] = [
        (&[], 2, "--postgres-url"),
        (&["--postgres-url", "postgres://u:s3cret@/?bad"], 78, "expected postgres://"),
        (&["--postgres-url", "postgres://u:s3cret@h/d?sslmode=allow"], 78, "sslmode"),
        (&["--postgres-url-file", "/nonexistent"], 78, "/nonexistent"),
        (
            &["--postgres-url", "postgres://u:s3cret@h/d", "--outbox-table", "a.b.c"],
            78,
            "--outbox-table",
        ),
    ];
    for (args, code, expected) in rows {
        let output =
            std::process::Command::new(program("order-api")).args(args).output().expect("a run");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(expected) && !text.contains("s3cret"), "{args:?}: {text}");
    }
}

/// What Postgres says is for the log, which has no notices and no paths of the machine that built
/// it.
#[tokio::test]
async fn neither_readiness_nor_the_log_tells_what_is_not_theirs() {
    let api = Api::ready().await;
    // Both tables are there already, which Postgres notices at each start.
    assert!(!api.program.log().contains("already exists"), "{}", api.program.log_tail());
    api.query("alter schema orders rename to other").await;
    let said = api.until_readyz(StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(
        said.contains("the log says why") && !said.contains("relation") && !said.contains("42P01"),
        "{said}"
    );
    for path in ["/registry/src", "/rustc/"] {
        assert!(!api.program.log().contains(path), "{}", api.program.log_tail());
    }
}

#[test]
fn empty_arguments_are_refused() {
    let consumer = ["--redis-url", "redis://h", "--postgres-url", "postgres://u@h/d"];
    let rows: [(&str, &[&str], &str); 7] = [
        (program("order-consumer"), &consumer, "--group"),
        (program("order-consumer"), &consumer, "--consumer"),
        (program("order-consumer"), &consumer, "--stream"),
        (program("order-consumer"), &consumer, "--dead-letter-stream"),
        (program("order-consumer"), &consumer, "--outbox-table"),
        (program("order-api"), &["--postgres-url", "postgres://u@h/d"], "--outbox-table"),
        (program("order-api"), &[], "--postgres-url"),
    ];
    for (binary, args, name) in rows {
        let output =
            std::process::Command::new(binary).args(args).args([name, ""]).output().expect("a run");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            matches!(output.status.code(), Some(2 | 78)) && text.contains(name),
            "{name}: {text}"
        );
    }
}
