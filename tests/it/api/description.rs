//! The API's description, held against its answers.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Api, body, header, order_with};
use crate::support::python;

/// What the description promises, in short. A change of it is a change for every client: make it on
/// purpose.
const PROMISES: [&str; 4] = [
    "GET /orders/{order_id}: 200 400 404 408 413 500 503",
    "GET /orders: 200 400 408 413 422 500 503",
    "POST /orders/{order_id}/cancel: 200 400 404 408 409 413 500 503",
    "POST /orders: 201 400 408 409 413 415 422 500 503",
];

#[tokio::test]
async fn the_description_is_as_it_was_and_every_answer_has_its_form() {
    let api = Api::ready().await;
    let answer = api.get("/openapi.json").await;
    assert_eq!(header(&answer, "content-type"), "application/json");
    let described = body(answer).await;
    let mut promises = Vec::new();
    for (path, methods) in described["paths"].as_object().expect("paths") {
        for (method, operation) in
            methods.as_object().expect("methods").iter().filter(|(name, _)| *name != "parameters")
        {
            let statuses: Vec<&str> = operation["responses"]
                .as_object()
                .expect("responses")
                .keys()
                .map(String::as_str)
                .collect();
            promises.push(format!("{} {path}: {}", method.to_uppercase(), statuses.join(" ")));
            // The route is there: whatever the answer is, it is none of these two.
            let path = path.replace("{order_id}", "00000000-0000-0000-0000-000000000000");
            let method: Method = method.to_uppercase().parse().expect("a method");
            let answer = api.request(method, &path).send().await.expect("an answer");
            assert_ne!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert!(statuses.contains(&answer.status().as_str()), "{path}: {}", answer.status());
        }
    }
    promises.sort();
    assert_eq!(promises, PROMISES);

    let order =
        json!({ "customer_id": "c", "items": [{ "sku": "a", "quantity": 1, "unit_price": 1 }] });
    let order = body(api.post("/orders", order.to_string()).await).await;
    let problem = body(api.post("/orders", "{}").await).await;
    let schema = |name: &str| &described["components"]["schemas"][name];
    assert_eq!(names(&order), properties(schema("Order")));
    assert_eq!(
        names(&order["items"][0]),
        properties(&schema("Order")["properties"]["items"]["items"])
    );
    assert_eq!(names(&problem), properties(schema("Problem")));
    let statuses = schema("Status")["enum"].as_array().expect("a list").len();
    assert_eq!(statuses, 4);
}

/// As numbers are written by clients that were made from the description: a quantity may be a float
/// without a fraction.
#[tokio::test]
async fn what_the_description_allows_is_taken() {
    let api = Api::ready().await;
    let rows = [
        ("\"Ünal & Söhne 1\"", "\"a b\"", "1", "12.5"),
        ("\"c\"", "\"a\"", "2.0", "1.500"),
        ("\"c\"", "\"a\"", "1000000.00", "1000000000.000"),
        ("\"c\"", "\"a\"", "1", "\"1000000000.00\""),
        ("\" c \"", "\"\\ud83d\\ude0d\"", "1", "\"007.5\""),
        ("\"c\"", "\"a\"", "1", "0.0"),
    ];
    for (customer, sku, quantity, price) in rows {
        let item = format!(r#"{{"sku":{sku},"quantity":{quantity},"unit_price":{price}}}"#);
        let answer =
            api.post("/orders", format!(r#"{{"customer_id":{customer},"items":[{item}]}}"#)).await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{item}: {}", body(answer).await);
    }
    for (quantity, price) in
        [("2.5", "1"), ("1e3", "1"), ("0.0", "1"), ("-1.0", "1"), ("1", "1.001"), ("1", "1e2")]
    {
        let item = format!(r#"{{"sku":"a","quantity":{quantity},"unit_price":{price}}}"#);
        let answer =
            api.post("/orders", format!(r#"{{"customer_id":"c","items":[{item}]}}"#)).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{item}");
    }
    assert_eq!(
        api.counts().await,
        (rows.len().try_into().expect("few"), rows.len().try_into().expect("few"))
    );
}

/// A body where none is wanted: what is wrong with it is described for every method, too.
#[tokio::test]
async fn refusals_of_a_body_are_described_everywhere() {
    let api = Api::ready().await;
    let described = body(api.get("/openapi.json").await).await;
    let operations = [
        (Method::GET, "/orders", "/orders"),
        (Method::POST, "/orders", "/orders"),
        (Method::GET, "/orders/{order_id}", "/orders/00000000-0000-0000-0000-000000000000"),
        (
            Method::POST,
            "/orders/{order_id}/cancel",
            "/orders/00000000-0000-0000-0000-000000000000/cancel",
        ),
    ];
    for (method, path, address) in &operations {
        let large = api
            .request(method.clone(), address)
            .body("x".repeat(70_000))
            .send()
            .await
            .expect("an answer");
        let packed =
            api.request(method.clone(), address).header("content-type", "application/json");
        let packed =
            packed.header("content-encoding", "gzip").body("{}").send().await.expect("an answer");
        for answer in [large, packed] {
            let status = answer.status();
            let responses = &described["paths"][path][method.as_str().to_lowercase()]["responses"];
            assert!(!responses[status.as_str()].is_null(), "{method} {path}: {status}");
            assert!(
                status.is_success()
                    || header(&answer, "content-type") == "application/problem+json"
            );
        }
        for status in ["400", "408", "500", "503"] {
            let responses = &described["paths"][path][method.as_str().to_lowercase()]["responses"];
            assert!(!responses[status].is_null(), "{method} {path}: {status}");
        }
    }
    let order = order_with(&json!([{ "sku": "a", "quantity": 1, "unit_price": 1 }]));
    let packed = [("content-type", "application/json"), ("content-encoding", "gzip")];
    assert_eq!(
        api.post_with("/orders", &packed, order).await.status(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
}

fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn properties(schema: &Value) -> BTreeSet<&str> {
    names(&schema["properties"])
}

/// Requests drawn from the description, good and bad: what it allows is taken, what it does not is
/// refused, and every answer is as described.
#[tokio::test]
async fn schemathesis_finds_nothing() {
    let schemathesis = python("schemathesis", &["schemathesis==4.32.5"]).join("bin/schemathesis");
    let api = Api::ready().await;
    let url = format!("{}/openapi.json", api.base);
    let dir = tempfile::tempdir().expect("a directory");
    let output = tokio::task::spawn_blocking(move || {
        Command::new(schemathesis)
            // A path, a method or a header that is not described: 404, 405 and the like are tested
            // elsewhere.
            .args(["run", &url, "--max-examples", "60", "--seed", "1", "--no-color"])
            .args(["--exclude-checks", "unsupported_method"])
            .args(["--generation-database", "none", "--suppress-health-check", "all"])
            .current_dir(dir.path())
            .env("NO_PROXY", "127.0.0.1")
            .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
            .env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/api"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
    });
    let output = output.await.expect("no panic").expect("a run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let orders = api.query("select count(*) from orders.orders").await[0].get::<_, i64>(0);
    assert!(orders > 0, "it placed some: {text}");
}
