//! What is refused, and how it is said: every wrong field by its pointer, and nothing is written.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Api, body, header, order_with};

/// Bodies that are refused: what, its text, the status, and the pointers to all wrong fields.
#[expect(clippy::too_many_lines, reason = "a table")]
fn bad_bodies() -> Vec<(&'static str, String, u16, Vec<&'static str>)> {
    let item = |sku: Value, quantity: Value, unit_price: Value| {
        order_with(&json!([{ "sku": sku, "quantity": quantity, "unit_price": unit_price }]))
    };
    let price = |text: &str| {
        format!(r#"{{"customer_id":"c","items":[{{"sku":"a","quantity":1,"unit_price":{text}}}]}}"#)
    };
    let quantity = |text: &str| {
        format!(r#"{{"customer_id":"c","items":[{{"sku":"a","quantity":{text},"unit_price":1}}]}}"#)
    };
    let customer = |id: Value| {
        json!({ "customer_id": id, "items": [{ "sku": "a", "quantity": 1, "unit_price": 1 }] })
            .to_string()
    };
    let currency = |text: Value| {
        json!({ "customer_id": "c", "currency": text,
            "items": [{ "sku": "a", "quantity": 1, "unit_price": 1 }] })
        .to_string()
    };
    let one = json!({ "sku": "a", "quantity": 1, "unit_price": 1 });
    let (first_price, first_quantity) = (vec!["/items/0/unit_price"], vec!["/items/0/quantity"]);
    vec![
        ("nothing", String::new(), 400, vec![]),
        ("half an object", r#"{"customer_id":"c""#.to_owned(), 400, vec![]),
        ("something behind it", "{} {}".to_owned(), 400, vec![]),
        ("a list", "[]".to_owned(), 422, vec![""]),
        ("null", "null".to_owned(), 422, vec![""]),
        ("an empty object", "{}".to_owned(), 422, vec!["/customer_id", "/items"]),
        ("no items", order_with(&json!([])), 422, vec!["/items"]),
        ("items as an object", order_with(&json!({})), 422, vec!["/items"]),
        ("101 items", order_with(&json!(vec![one.clone(); 101])), 422, vec!["/items"]),
        ("an item as a text", order_with(&json!(["a", one])), 422, vec!["/items/0"]),
        (
            "an empty item",
            order_with(&json!([{}])),
            422,
            vec!["/items/0/sku", "/items/0/quantity", "/items/0/unit_price"],
        ),
        (
            "everything wrong at once",
            json!({
                "customer_id": 7,
                "currency": "eur",
                "items": [{ "sku": "", "quantity": 0, "unit_price": -1 }],
                "x": 1,
            })
            .to_string(),
            422,
            vec![
                "/x",
                "/customer_id",
                "/items/0/sku",
                "/items/0/quantity",
                "/items/0/unit_price",
                "/currency",
            ],
        ),
        ("an empty customer", customer(json!("")), 422, vec!["/customer_id"]),
        ("a blank customer", customer(json!("  ")), 422, vec!["/customer_id"]),
        ("a long customer", customer(json!("é".repeat(101))), 422, vec!["/customer_id"]),
        ("NUL in a customer", customer(json!("a\u{0}b")), 422, vec!["/customer_id"]),
        ("a line break in a customer", customer(json!("a\nb")), 422, vec!["/customer_id"]),
        (
            "half a surrogate pair",
            r#"{"customer_id":"\ud800","items":[]}"#.to_owned(),
            422,
            vec!["/customer_id", "/items"],
        ),
        ("a customer as null", customer(json!(null)), 422, vec!["/customer_id"]),
        ("NUL in a sku", item(json!("\u{0}"), json!(1), json!(1)), 422, vec!["/items/0/sku"]),
        ("a long sku", item(json!("s".repeat(65)), json!(1), json!(1)), 422, vec!["/items/0/sku"]),
        ("quantity 0", quantity("0"), 422, first_quantity.clone()),
        ("quantity -1", quantity("-1"), 422, first_quantity.clone()),
        ("quantity 1.5", quantity("1.5"), 422, first_quantity.clone()),
        ("quantity as a text", quantity("\"1\""), 422, first_quantity.clone()),
        ("quantity too high", quantity("1000001"), 422, first_quantity.clone()),
        ("quantity without end", quantity("1e400"), 422, first_quantity),
        ("a negative price", price("-0.01"), 422, first_price.clone()),
        ("three decimals", price("0.001"), 422, first_price.clone()),
        ("three decimals as a text", price("\"0.001\""), 422, first_price.clone()),
        ("a price too high", price("1000000000.01"), 422, first_price.clone()),
        ("a price of 100 digits", price(&"9".repeat(100)), 422, first_price.clone()),
        ("a price with an exponent", price("1e2"), 422, first_price.clone()),
        ("a price as null", price("null"), 422, first_price.clone()),
        ("a price in words", price("\"ten\""), 422, first_price),
        ("a currency in small letters", currency(json!("eur")), 422, vec!["/currency"]),
        ("a currency of four letters", currency(json!("EURO")), 422, vec!["/currency"]),
        ("a currency as a number", currency(json!(978)), 422, vec!["/currency"]),
        (
            "a field twice",
            r#"{
                "customer_id": "a",
                "customer_id": "b",
                "items": [{ "sku": "a", "quantity": 1, "unit_price": 1 }]
            }"#
            .to_owned(),
            422,
            vec!["/customer_id"],
        ),
        (
            "an unknown field with a slash",
            json!({ "customer_id": "c",
                "items": [{ "sku": "a", "quantity": 1, "unit_price": 1,
                "a/b~": 1 }] })
            .to_string(),
            422,
            vec!["/items/0/a~1b~0"],
        ),
        ("100,000 brackets", "[".repeat(60_000), 400, vec![]),
        (
            "a body too large",
            order_with(&json!([{ "sku": "s".repeat(70_000), "quantity": 1, "unit_price": 1 }])),
            413,
            vec![],
        ),
    ]
}

#[tokio::test]
async fn bad_input_is_named_field_by_field_and_writes_nothing() {
    let api = Api::ready().await;
    let rows = bad_bodies();
    for (what, text, status, pointers) in rows {
        let response = api.post("/orders", text).await;
        assert_eq!(response.status().as_u16(), status, "{what}");
        assert_eq!(header(&response, "content-type"), "application/problem+json", "{what}");
        let problem = body(response).await;
        assert_eq!(
            (&problem["type"], &problem["status"]),
            (&json!("about:blank"), &json!(status)),
            "{what}"
        );
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{what}: {problem}");
        let found: Vec<&str> = problem["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|error| error["pointer"].as_str())
            .collect();
        assert_eq!(found, pointers, "{what}: {problem}");
    }
    let invalid_utf8 = [&br#"{"customer_id":""#[..], &[0xff], &br#"","items":[]}"#[..]].concat();
    assert_eq!(api.post("/orders", invalid_utf8).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(api.counts().await, (0, 0));
}

#[tokio::test]
async fn wrong_addresses_methods_and_content_types_are_problems_too() {
    let api = Api::ready().await;
    let valid = order_with(&json!([{ "sku": "a", "quantity": 1, "unit_price": 1 }]));
    let rows = [
        (Method::GET, "/nowhere", None, 404, ""),
        (Method::GET, "/orders/not-a-uuid", None, 404, ""),
        (Method::GET, "/orders/00000000-0000-0000-0000-000000000000", None, 404, ""),
        (Method::POST, "/orders/00000000-0000-0000-0000-000000000000/cancel", None, 404, ""),
        (Method::PUT, "/orders", None, 405, "GET,HEAD,POST"),
        (Method::GET, "/orders?status=lost", None, 422, ""),
        (Method::DELETE, "/orders/00000000-0000-0000-0000-000000000000", None, 405, "GET,HEAD"),
        (Method::POST, "/metrics", None, 405, "GET,HEAD"),
        (Method::POST, "/orders", None, 415, ""),
        (Method::POST, "/orders", Some("text/plain"), 415, ""),
        (Method::POST, "/orders", Some("application/x-www-form-urlencoded"), 415, ""),
        (Method::POST, "/orders", Some("Application/JSON; charset=utf-8"), 201, ""),
    ];
    for (method, path, content_type, status, allow) in rows {
        let mut request = api.request(method.clone(), path).body(valid.clone());
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), status, "{method} {path} {content_type:?}");
        assert_eq!(header(&response, "allow"), allow, "{method} {path}");
        let expected = if status == 201 { "application/json" } else { "application/problem+json" };
        assert_eq!(header(&response, "content-type"), expected, "{method} {path} {content_type:?}");
    }
    assert_eq!(api.counts().await, (1, 1));
}

/// Percent-encodings that are no text, wherever they are: never a bare answer of the framework.
#[tokio::test]
async fn what_is_no_text_is_a_problem_too() {
    let api = Api::ready().await;
    let rows = [
        (Method::GET, "/orders/%ff", 404),
        (Method::GET, "/orders/%", 404),
        (Method::POST, "/orders/%ff/cancel", 404),
        (Method::DELETE, "/orders/%ff", 405),
        (Method::GET, "/%ff", 404),
        (Method::GET, "/orders?customer_id=%ff", 422),
        (Method::GET, "/orders?%ff=1", 422),
        (Method::GET, "/orders?customer_id=%00", 422),
    ];
    for (method, path, status) in &rows {
        let mut stream = tokio::net::TcpStream::connect(api.base.trim_start_matches("http://"))
            .await
            .expect("a connection");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let mut answer = String::new();
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
            .await
            .expect("a request");
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
        assert!(
            answer.contains("content-type: application/problem+json"),
            "{method} {path}: {answer}"
        );
    }
}

/// A body of 64 kB must not be answered with a megabyte.
#[tokio::test]
async fn the_first_twenty_errors_are_listed_and_briefly() {
    let api = Api::ready().await;
    let items = vec![json!({}); 100];
    let many = json!({ "customer_id": "c", "items": items }).to_string();
    let names: serde_json::Map<_, _> =
        (0..3).map(|n| (format!("{n}").repeat(15_000), json!(1))).collect();
    for text in [many, Value::Object(names).to_string()] {
        let response = api.post("/orders", text).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let bytes = response.bytes().await.expect("a body");
        assert!(bytes.len() < 10_000, "{} bytes", bytes.len());
        let problem: Value = serde_json::from_slice(&bytes).expect("JSON");
        let listed = problem["errors"].as_array().expect("a list").len();
        assert!((3..=20).contains(&listed), "{problem}");
    }
}
