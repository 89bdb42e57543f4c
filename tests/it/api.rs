//! order-api, the real binary over a real Postgres: an order and its event, or a problem and
//! nothing.

mod description;
mod idempotency;
mod listing;
mod problems;
mod service;
mod trace;

use std::time::Duration;

use outflow_local::{Postgres, Program, eventually, free_port, session};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_postgres::Row;

use crate::support::{event_table, program};

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
        let path = program("order-api").as_ref();
        let args = [&["--listen", &listen, "--log-format", "text"], extra].concat();
        let url = postgres.url();
        let program = Program::start(
            "order-api",
            path,
            &args,
            &[("ORDER_API_POSTGRES_URL", &url)],
            dir.path(),
        );
        let (program, base) = (program.expect("order-api"), format!("http://{listen}"));
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().expect("a client");
        Self { program, postgres, base, http, _dir: dir }
    }

    async fn ready() -> Self {
        Self::ready_with(&[]).await
    }

    async fn ready_with(extra: &[&str]) -> Self {
        let api = Self::start_with(extra).await;
        api.query(&event_table("public.outbox")).await;
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

    async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Response {
        let mut request =
            self.request(Method::POST, path).header("content-type", "application/json").body(body);
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
        let client = session(&self.postgres.url()).await.expect("a session");
        client.query(sql, &[]).await.expect("an answer")
    }

    /// Waits until so many requests wait for a lock.
    async fn until_waiting(&self, count: usize) {
        let sql = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and \
            application_name = 'order-api'";
        let waiting = async || self.query(sql).await.len() == count;
        eventually(LIMIT, "requests to wait for a lock", waiting).await.expect("in time");
    }

    async fn counts(&self) -> (i64, i64) {
        let row = &self
            .query("select (select count(*) from orders.orders), (select count(*) from outbox)")
            .await[0];
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
    let items = json!([{ "sku": "größe-😀", "quantity": 2, "unit_price": "10.50" },
        { "sku": "b", "quantity": 1, "unit_price": 0.1 }]);
    let response = api
        .post(
            "/orders",
            json!({ "customer_id": "c-1", "items": items, "currency": "USD" }).to_string(),
        )
        .await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let location = header(&response, "location").to_owned();
    let order = body(response).await;
    let id = order["order_id"].as_str().expect("an id").to_owned();
    assert_eq!(location, format!("/orders/{id}"));
    let items = json!([{ "sku": "größe-😀", "quantity": 2, "unit_price": "10.50" },
        { "sku": "b", "quantity": 1, "unit_price": "0.10" }]);
    let expected = json!({
        "order_id": id, "customer_id": "c-1", "status": "created", "currency": "USD",
        "items": items,
        "total_amount": "21.10", "created_at": order["created_at"],
    });
    assert_eq!(order, expected);
    assert_eq!(body(api.get(&location).await).await, expected);

    // xmin is the id of the transaction that wrote a row.
    let sql = "select e.xmin = o.xmin, e.created_at = o.created_at, e.event_id::text, \
        e.aggregate_type, e.aggregate_id, \
        e.event_type, e.payload, e.headers from outbox e, orders.orders o";
    let rows = api.query(sql).await;
    assert_eq!(rows.len(), 1);
    assert!(rows[0].get::<_, bool>(0), "one transaction");
    assert!(rows[0].get::<_, bool>(1), "one time");
    let text = |column: usize| rows[0].get::<_, String>(column);
    assert_eq!(
        [text(3), text(4), text(5)],
        ["order".to_owned(), id.clone(), "OrderCreated".to_owned()]
    );
    let payload = json!({
        "event_id": text(2), "event_type": "OrderCreated", "aggregate_id": id,
        "occurred_at": order["created_at"],
        "order_id": id, "customer_id": "c-1", "total_amount": "21.10", "currency": "USD",
        "items": items,
    });
    assert_eq!(rows[0].get::<_, Value>(6), payload);
    assert!(rows[0].get::<_, Value>(7)["traceparent"].is_string());
}

#[tokio::test]
async fn an_order_without_its_event_is_not_kept() {
    let api = Api::ready().await;
    api.query("alter table outbox add constraint nobody_may check (event_type = 'none')").await;
    let response = api
        .post("/orders", order_with(&json!([{ "sku": "a", "quantity": 1, "unit_price": 1 }])))
        .await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    assert_eq!(api.counts().await, (0, 0));
}

#[tokio::test]
async fn money_is_exact() {
    let api = Api::ready().await;
    let rows = [
        (
            json!([{ "sku": "a", "quantity": 1, "unit_price": 0.1 },
                { "sku": "b", "quantity": 1, "unit_price": 0.2 }]),
            "0.30",
        ),
        (json!([{ "sku": "a", "quantity": 3, "unit_price": "1.10" }]), "3.30"),
        (json!([{ "sku": "a", "quantity": 1_000_000, "unit_price": "0.01" }]), "10000.00"),
        (
            json!([{ "sku": "a", "quantity": 1_000_000, "unit_price": "999999999.99" }]),
            "999999999990000.00",
        ),
        (json!([{ "sku": "a", "quantity": 7, "unit_price": 0 }]), "0.00"),
        (
            json!(vec![
                json!({ "sku": "a", "quantity": 1_000_000, "unit_price": "999999999.99" });
                100
            ]),
            "99999999999000000.00",
        ),
    ];
    for (items, total) in rows {
        let response = api.post("/orders", order_with(&items)).await;
        assert_eq!(response.status(), StatusCode::CREATED, "{items}");
        let order = body(response).await;
        assert_eq!(order["total_amount"], total, "{items}");
        let again =
            body(api.get(&format!("/orders/{}", order["order_id"].as_str().expect("an id"))).await)
                .await;
        assert_eq!(again, order);
    }
    // A literal that serde_json would round: all its digits arrive.
    let exact =
        r#"{"customer_id":"c","items":[{"sku":"a","quantity":1,"unit_price":999999999.97}]}"#;
    assert_eq!(body(api.post("/orders", exact).await).await["total_amount"], "999999999.97");
}

#[tokio::test]
async fn an_order_is_cancelled_once() {
    let api = Api::ready().await;
    let items = json!([{ "sku": "a", "quantity": 2, "unit_price": "1.50" }]);
    let order = body(api.post("/orders", order_with(&items)).await).await;
    let id = order["order_id"].as_str().expect("an id");
    // Both at once: neither may look at the order while another one changes it.
    let path = format!("/orders/{id}/cancel");
    let client = session(&api.postgres.url()).await.expect("a session");
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
        array(select json_object_keys(payload)) from outbox order by outbox.id";
    let rows = api.query(sql).await;
    let types: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(types, ["OrderCreated", "OrderCancelled"]);
    let payload: Value = rows[1].get(2);
    assert_eq!(
        (rows[1].get::<_, &str>(1), &payload["items"], &payload["total_amount"]),
        (id, &items, &json!("3.00"))
    );
    assert_eq!(
        (&payload["event_type"], &payload["event_id"]),
        (&json!("OrderCancelled"), &json!(rows[1].get::<_, &str>(3)))
    );
    assert_eq!(
        rows[0].get::<_, Vec<String>>(4),
        rows[1].get::<_, Vec<String>>(4),
        "the same envelope"
    );
}
