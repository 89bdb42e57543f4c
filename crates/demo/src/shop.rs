//! Places orders through the API, and cancels every fifth right away so that some keys have two
//! events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::http::http;
use super::ledger::Ledger;
use super::plan::Plan;

const RETRY_PAUSE: Duration = Duration::from_millis(200);
const CANCEL_EVERY: u64 = 5;
const CUSTOMERS: u64 = 100;
const SKUS: u64 = 20;

/// The clients of the API and what they share.
pub(super) struct Shop {
    http: Client,
    api: String,
    plan: Plan,
    ledger: Arc<Mutex<Ledger>>,
    closing: CancellationToken,
    started: Instant,
    next: AtomicU64,
    trouble: Mutex<Option<String>>,
}

#[derive(Deserialize)]
struct Placed {
    order_id: String,
}

impl Shop {
    /// Starts the clients; they end when all orders of the plan are placed, or on `closing`.
    pub(super) fn open(
        api: &str,
        plan: Plan,
        ledger: Arc<Mutex<Ledger>>,
        closing: CancellationToken,
    ) -> (Arc<Self>, JoinSet<()>) {
        let next = AtomicU64::new(0);
        let http = http();
        let api = api.to_owned();
        let trouble = Mutex::new(None);
        let shop = Arc::new(Self {
            http,
            api,
            plan,
            ledger,
            closing,
            started: Instant::now(),
            next,
            trouble,
        });
        let clients = (0..plan.clients).map(|_| Arc::clone(&shop).serve()).collect();
        (shop, clients)
    }

    /// Why the last order could not be placed, if that was since the last call.
    pub(super) fn take_trouble(&self) -> Option<String> {
        self.trouble.lock().take()
    }

    async fn serve(self: Arc<Self>) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if self.plan.orders.is_some_and(|orders| number >= orders) {
                return;
            }
            let due = self.started
                + Duration::from_secs_f64(number_f64(number) / f64::from(self.plan.rate));
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = self.closing.cancelled() => return,
            }
            self.insist(number).await;
        }
    }

    /// Places one order, again and again until it succeeds or the demo stops.
    async fn insist(&self, number: u64) {
        while let Err(trouble) = self.order(number).await {
            *self.trouble.lock() = Some(trouble);
            tokio::select! {
                () = tokio::time::sleep(RETRY_PAUSE) => {}
                () = self.closing.cancelled() => return,
            }
        }
    }

    async fn order(&self, number: u64) -> Result<(), String> {
        let url = format!("{}/orders", self.api);
        let answer = self.post(&url, Some((&order_of(number), number))).await?;
        let Placed { order_id } = answer
            .json()
            .await
            .map_err(|error| format!("POST /orders: {}", error.without_url()))?;
        let mut cancelled = number % CANCEL_EVERY == CANCEL_EVERY - 1;
        if cancelled {
            let answer = self.post(&format!("{url}/{order_id}/cancel"), None).await?;
            cancelled = answer.status() == StatusCode::OK;
        }
        self.ledger.lock().place(&order_id, cancelled);
        Ok(())
    }

    /// Posts, an order under a key of its own: repeated after a lost answer, it is the same order.
    async fn post(&self, url: &str, order: Option<(&Value, u64)>) -> Result<Response, String> {
        let request = self.http.post(url);
        let request = match order {
            Some((body, number)) => {
                request.json(body).header("Idempotency-Key", format!("demo-{number}"))
            }
            None => request,
        };
        let answer =
            request.send().await.map_err(|error| format!("POST {url}: {}", error.without_url()))?;
        match answer.status() {
            StatusCode::OK | StatusCode::CREATED => Ok(answer),
            // It is cancelled or rejected already: by us, when the answer was lost, or by the saga.
            StatusCode::CONFLICT if order.is_none() => Ok(answer),
            status => {
                Err(format!("POST {url}: {status}: {}", answer.text().await.unwrap_or_default()))
            }
        }
    }
}

/// One to three different items, the same for the same number.
fn order_of(number: u64) -> Value {
    let item = |place: u64| {
        let sku = (number + 7 * place) % SKUS;
        json!({
            "sku": format!("sku-{sku:02}"),
            "quantity": 1 + (number + place) % 3,
            "unit_price": format!("{}.{:02}", 5 + sku, (sku * 5) % 100),
        })
    };
    let items: Vec<Value> = (0..=number % 3).map(item).collect();
    json!({ "customer_id": format!("customer-{:03}", number % CUSTOMERS), "items": items })
}

/// Exact up to 2^53 orders.
#[expect(clippy::cast_precision_loss, reason = "a due time needs no more than 52 bits")]
fn number_f64(number: u64) -> f64 {
    number as f64
}
