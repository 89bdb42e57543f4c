//! order-api, the real binary over a real Postgres: an order and its event, or a problem and nothing.

mod description;
mod idempotency;
mod listing;
mod trace;

use std::time::Duration;

use outflow::local::{Postgres, Program, eventually, free_port};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_postgres::{NoTls, Row};

use crate::consumer::OUTBOX;

const LIMIT: Duration = Duration::from_secs(20);
struct Api {
    program: Program,
    postgres: Postgres,
    base: String,
    http: reqwest::Client,
    _dir: TempDir,
}

impl Api {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(extra: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let postgres = Postgres::start(dir.path()).await.expect("Postgres");
        let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
        let path = env!("CARGO_BIN_EXE_order-api").as_ref();
        let args = [&["--listen", &listen, "--log-format", "text"], extra].concat();
        let url = postgres.url();
        let program = Program::start("order-api", path, &args, &[("ORDER_API_POSTGRES_URL", &url)], dir.path());
        let (program, base) = (program.expect("order-api"), format!("http://{listen}"));
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().expect("a client");
        Self { program, postgres, base, http, _dir: dir }
    }

    async fn ready() -> Self {
        Self::ready_with(&[]).await
    }

    async fn ready_with(extra: &[&str]) -> Self {
        let api = Self::start_with(extra).await;
        api.query(OUTBOX).await;
        api.until_readyz(StatusCode::OK).await;
        api
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.expect("an answer")
    }

    async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        request.body(body).send().await.expect("an answer")
    }

    async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Response {
        let mut request = self.request(Method::POST, path).header("content-type", "application/json").body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("an answer")
    }

    /// Places an order with these headers, and returns those of its event.
    async fn traced(&self, headers: &[(&str, &str)]) -> Value {
        let order = order_with(&json!([{ "sku": "a", "quantity": 1, "unit_price": 1 }]));
        assert_eq!(self.post_with("/orders", headers, order).await.status(), StatusCode::CREATED);
        self.query("select headers from outbox order by id desc limit 1").await[0].get(0)
    }

    async fn until_readyz(&self, expected: StatusCode) -> String {
        let asking = async || {
            let response = self.request(Method::GET, "/readyz").send().await.ok()?;
            if response.status() == expected { response.text().await.ok() } else { None }
        };
        eventually(LIMIT, &format!("/readyz to answer {expected}"), asking).await.expect("in time")
    }

    async fn query(&self, sql: &str) -> Vec<Row> {
        let (client, connection) = tokio_postgres::connect(&self.postgres.url(), NoTls).await.expect("a session");
        tokio::spawn(connection);
        client.query(sql, &[]).await.expect("an answer")
    }

    /// Waits until so many requests wait for a lock.
    async fn until_waiting(&self, count: usize) {
        let sql = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'order-api'";
        let waiting = async || self.query(sql).await.len() == count;
        eventually(LIMIT, "requests to wait for a lock", waiting).await.expect("in time");
    }

    async fn counts(&self) -> (i64, i64) {
        let row = &self.query("select (select count(*) from orders.orders), (select count(*) from outbox)").await[0];
        (row.get(0), row.get(1))
    }
}

async fn body(response: Response) -> Value {
    serde_json::from_str(&response.text().await.expect("a body")).expect("JSON")
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("a text"))
}

fn order_with(items: &Value) -> String {
    json!({ "customer_id": "c-1", "items": items }).to_string()
}

#[tokio::test]
async fn an_order_and_its_event_are_written_in_one_transaction() {
    let api = Api::ready().await;
    let items = json!([{ "sku": "größe-😀", "quantity": 2, "unit_price": "10.50" }, { "sku": "b", "quantity": 1, "unit_price": 0.1 }]);
    let response =
        api.post("/orders", json!({ "customer_id": "c-1", "items": items, "currency": "USD" }).to_string()).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let location = header(&response, "location").to_owned();
    let order = body(response).await;
    let id = order["order_id"].as_str().expect("an id").to_owned();
    assert_eq!(location, format!("/orders/{id}"));
    let items = json!([{ "sku": "größe-😀", "quantity": 2, "unit_price": "10.50" }, { "sku": "b", "quantity": 1, "unit_price": "0.10" }]);
    let expected = json!({
        "order_id": id, "customer_id": "c-1", "status": "created", "currency": "USD", "items": items,
        "total_amount": "21.10", "created_at": order["created_at"],
    });
    assert_eq!(order, expected);
    assert_eq!(body(api.get(&location).await).await, expected);

    // xmin is the id of the transaction that wrote a row.
    let sql = "select e.xmin = o.xmin, e.created_at = o.created_at, e.event_id::text, e.aggregate_type, e.aggregate_id, \
        e.event_type, e.payload, e.headers from outbox e, orders.orders o";
    let rows = api.query(sql).await;
    assert_eq!(rows.len(), 1);
    assert!(rows[0].get::<_, bool>(0), "one transaction");
    assert!(rows[0].get::<_, bool>(1), "one time");
    let text = |column: usize| rows[0].get::<_, String>(column);
    assert_eq!([text(3), text(4), text(5)], ["order".to_owned(), id.clone(), "OrderCreated".to_owned()]);
    let payload = json!({
        "event_id": text(2), "event_type": "OrderCreated", "aggregate_id": id, "occurred_at": order["created_at"],
        "order_id": id, "customer_id": "c-1", "total_amount": "21.10", "currency": "USD", "items": items,
    });
    assert_eq!(rows[0].get::<_, Value>(6), payload);
    assert!(rows[0].get::<_, Value>(7)["traceparent"].is_string());
}

#[tokio::test]
async fn an_order_without_its_event_is_not_kept() {
    let api = Api::ready().await;
    api.query("alter table outbox add constraint nobody_may check (event_type = 'none')").await;
    let response = api.post("/orders", order_with(&json!([{ "sku": "a", "quantity": 1, "unit_price": 1 }]))).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    assert_eq!(api.counts().await, (0, 0));
}

#[tokio::test]
async fn money_is_exact() {
    let api = Api::ready().await;
    let rows = [
        (
            json!([{ "sku": "a", "quantity": 1, "unit_price": 0.1 }, { "sku": "b", "quantity": 1, "unit_price": 0.2 }]),
            "0.30",
        ),
        (json!([{ "sku": "a", "quantity": 3, "unit_price": "1.10" }]), "3.30"),
        (json!([{ "sku": "a", "quantity": 1_000_000, "unit_price": "0.01" }]), "10000.00"),
        (json!([{ "sku": "a", "quantity": 1_000_000, "unit_price": "999999999.99" }]), "999999999990000.00"),
        (json!([{ "sku": "a", "quantity": 7, "unit_price": 0 }]), "0.00"),
        (
            json!(vec![json!({ "sku": "a", "quantity": 1_000_000, "unit_price": "999999999.99" }); 100]),
            "99999999999000000.00",
        ),
    ];
    assert_eq!(rows.len(), 6);
    for (items, total) in rows {
        let response = api.post("/orders", order_with(&items)).await;
        assert_eq!(response.status(), StatusCode::CREATED, "{items}");
        let order = body(response).await;
        assert_eq!(order["total_amount"], total, "{items}");
        let again = body(api.get(&format!("/orders/{}", order["order_id"].as_str().expect("an id"))).await).await;
        assert_eq!(again, order);
    }
    // A literal that serde_json would round: all its digits arrive.
    let exact = r#"{"customer_id":"c","items":[{"sku":"a","quantity":1,"unit_price":999999999.97}]}"#;
    assert_eq!(body(api.post("/orders", exact).await).await["total_amount"], "999999999.97");
}

/// Bodies that are refused: what, its text, the status, and the pointers to all wrong fields.
fn bad_bodies() -> Vec<(&'static str, String, u16, Vec<&'static str>)> {
    let item = |sku: Value, quantity: Value, unit_price: Value| {
        order_with(&json!([{ "sku": sku, "quantity": quantity, "unit_price": unit_price }]))
    };
    let price =
        |text: &str| format!(r#"{{"customer_id":"c","items":[{{"sku":"a","quantity":1,"unit_price":{text}}}]}}"#);
    let quantity =
        |text: &str| format!(r#"{{"customer_id":"c","items":[{{"sku":"a","quantity":{text},"unit_price":1}}]}}"#);
    let customer =
        |id: Value| json!({ "customer_id": id, "items": [{ "sku": "a", "quantity": 1, "unit_price": 1 }] }).to_string();
    let currency = |text: Value| {
        json!({ "customer_id": "c", "currency": text, "items": [{ "sku": "a", "quantity": 1, "unit_price": 1 }] })
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
        ("an empty item", order_with(&json!([{}])), 422, vec!["/items/0/sku", "/items/0/quantity", "/items/0/unit_price"]),
        ("everything wrong at once", json!({ "customer_id": 7, "currency": "eur", "items": [{ "sku": "", "quantity": 0, "unit_price": -1 }], "x": 1 }).to_string(), 422, vec!["/x", "/customer_id", "/items/0/sku", "/items/0/quantity", "/items/0/unit_price", "/currency"]),
        ("an empty customer", customer(json!("")), 422, vec!["/customer_id"]),
        ("a blank customer", customer(json!("  ")), 422, vec!["/customer_id"]),
        ("a long customer", customer(json!("é".repeat(101))), 422, vec!["/customer_id"]),
        ("NUL in a customer", customer(json!("a\u{0}b")), 422, vec!["/customer_id"]),
        ("a line break in a customer", customer(json!("a\nb")), 422, vec!["/customer_id"]),
        ("half a surrogate pair", r#"{"customer_id":"\ud800","items":[]}"#.to_owned(), 422, vec!["/customer_id", "/items"]),
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
        ("a field twice", r#"{"customer_id":"a","customer_id":"b","items":[{"sku":"a","quantity":1,"unit_price":1}]}"#.to_owned(), 422, vec!["/customer_id"]),
        ("an unknown field with a slash", json!({ "customer_id": "c", "items": [{ "sku": "a", "quantity": 1, "unit_price": 1, "a/b~": 1 }] }).to_string(), 422, vec!["/items/0/a~1b~0"]),
        ("100,000 brackets", "[".repeat(60_000), 400, vec![]),
        ("a body too large", order_with(&json!([{ "sku": "s".repeat(70_000), "quantity": 1, "unit_price": 1 }])), 413, vec![]),
    ]
}

#[tokio::test]
async fn bad_input_is_named_field_by_field_and_writes_nothing() {
    let api = Api::ready().await;
    let rows = bad_bodies();
    assert_eq!(rows.len(), 42);
    for (what, text, status, pointers) in rows {
        let response = api.post("/orders", text).await;
        assert_eq!(response.status().as_u16(), status, "{what}");
        assert_eq!(header(&response, "content-type"), "application/problem+json", "{what}");
        let problem = body(response).await;
        assert_eq!((&problem["type"], &problem["status"]), (&json!("about:blank"), &json!(status)), "{what}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{what}: {problem}");
        let found: Vec<&str> =
            problem["errors"].as_array().into_iter().flatten().filter_map(|error| error["pointer"].as_str()).collect();
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
    assert_eq!(rows.len(), 12);
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

#[tokio::test]
async fn the_trace_of_a_request_goes_into_its_event() {
    let api = Api::ready().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let rows: [(&[(&str, &str)], Value); 2] = [
        (&[("traceparent", parent)], json!({ "traceparent": parent })),
        (
            &[("traceparent", parent), ("tracestate", "a=1"), ("tracestate", "b=2")],
            json!({ "traceparent": parent, "tracestate": "a=1,b=2" }),
        ),
    ];
    assert_eq!(rows.len(), 2);
    for (headers, expected) in rows {
        assert_eq!(api.traced(headers).await, expected);
    }
    // Without one that is valid, a new trace begins.
    let fresh: [&[(&str, &str)]; 3] =
        [&[], &[("traceparent", "00-broken"), ("tracestate", "a=1")], &[("tracestate", "a=1")]];
    let mut ids = std::collections::HashSet::new();
    for headers in fresh {
        let found = api.traced(headers).await;
        assert_eq!(found.as_object().expect("headers").len(), 1, "{found}");
        let parent: Vec<&str> = found["traceparent"].as_str().expect("a parent").split('-').collect();
        assert_eq!(parent.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2], "{found}");
        ids.insert(parent[1].to_owned());
    }
    assert_eq!(ids.len(), 3, "each its own");
}

#[tokio::test]
async fn an_order_is_cancelled_once() {
    let api = Api::ready().await;
    let items = json!([{ "sku": "a", "quantity": 2, "unit_price": "1.50" }]);
    let order = body(api.post("/orders", order_with(&items)).await).await;
    let id = order["order_id"].as_str().expect("an id");
    // Both at once: neither may look at the order while another one changes it.
    let path = format!("/orders/{id}/cancel");
    let (client, connection) = tokio_postgres::connect(&api.postgres.url(), NoTls).await.expect("a session");
    tokio::spawn(connection);
    client.batch_execute("begin; select 1 from orders.orders for update").await.expect("a lock");
    let release = async {
        api.until_waiting(2).await;
        client.batch_execute("commit").await.expect("an unlock");
    };
    let (one, two, ()) = tokio::join!(api.post(&path, ""), api.post(&path, ""), release);
    let (won, lost) = if one.status() == StatusCode::OK { (one, two) } else { (two, one) };
    assert_eq!((won.status(), lost.status()), (StatusCode::OK, StatusCode::CONFLICT));
    assert_eq!(header(&lost, "content-type"), "application/problem+json");
    let mut cancelled = order.clone();
    cancelled["status"] = json!("cancelled");
    assert_eq!(body(won).await, cancelled);
    assert_eq!(body(api.get(&format!("/orders/{id}")).await).await, cancelled);

    let sql = "select event_type, aggregate_id, payload, event_id::text, \
        array(select jsonb_object_keys(payload)) from outbox order by outbox.id";
    let rows = api.query(sql).await;
    let types: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(types, ["OrderCreated", "OrderCancelled"]);
    let payload: Value = rows[1].get(2);
    assert_eq!((rows[1].get::<_, &str>(1), &payload["items"], &payload["total_amount"]), (id, &items, &json!("3.00")));
    assert_eq!(
        (&payload["event_type"], &payload["event_id"]),
        (&json!("OrderCancelled"), &json!(rows[1].get::<_, &str>(3)))
    );
    assert_eq!(rows[0].get::<_, Vec<String>>(4), rows[1].get::<_, Vec<String>>(4), "the same envelope");
}

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
    api.query(OUTBOX).await;
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
    let (client, connection) = tokio_postgres::connect(&api.postgres.url(), NoTls).await.expect("a session");
    tokio::spawn(connection);
    client.batch_execute("begin; lock table outbox in exclusive mode").await.expect("a lock");
    let order = order_with(&json!([{ "sku": "a", "quantity": 1, "unit_price": 1 }]));
    let request = api.request(Method::POST, "/orders").header("content-type", "application/json").body(order);
    let answer = tokio::spawn(request.send());
    api.until_waiting(1).await;
    api.program.terminate();
    eventually(LIMIT, "the stop", async || api.program.log().contains("stop asked for")).await.expect("in time");
    client.batch_execute("commit").await.expect("an unlock");
    assert_eq!(answer.await.expect("no panic").expect("an answer").status(), StatusCode::CREATED);
    assert!(api.program.wait(LIMIT).await.expect("its end").success(), "{}", api.program.log_tail());
    assert_eq!(api.counts().await, (1, 1));
}

#[tokio::test]
async fn bad_options_are_refused_without_printing_a_secret() {
    let rows: [(&[&str], i32, &str); 5] = [
        (&[], 2, "--postgres-url"),
        (&["--postgres-url", "postgres://u:s3cret@/?bad"], 78, "expected postgres://"),
        (&["--postgres-url", "postgres://u:s3cret@h/d?sslmode=allow"], 78, "sslmode"),
        (&["--postgres-url-file", "/nonexistent"], 78, "/nonexistent"),
        (&["--postgres-url", "postgres://u:s3cret@h/d", "--outbox-table", "a.b.c"], 78, "--outbox-table"),
    ];
    assert_eq!(rows.len(), 5);
    for (args, code, expected) in rows {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_order-api")).args(args).output().expect("a run");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(expected) && !text.contains("s3cret"), "{args:?}: {text}");
    }
}
