//! Pages of orders.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Api, body};

/// The ids of all orders that fit, page by page.
async fn pages(api: &Api, query: &str) -> Vec<Vec<String>> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = api.get(&format!("/orders?{query}{cursor}")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{query}{cursor}");
        let page = body(answer).await;
        let id = |order: &Value| order["order_id"].as_str().expect("an id").to_owned();
        pages.push(page["orders"].as_array().expect("a list").iter().map(id).collect());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn orders_are_listed_page_by_page_the_newest_first() {
    let api = Api::ready().await;
    assert_eq!(body(api.get("/orders").await).await, json!({ "orders": [], "next": null }));
    let mut ids = Vec::new();
    for number in 0..7 {
        let customer = if number % 2 == 0 { "even one" } else { "odd" };
        let order = json!({ "customer_id": customer,
            "items": [{ "sku": "a", "quantity": 1, "unit_price": 1 }] });
        let placed = body(api.post("/orders", order.to_string()).await).await;
        ids.push(placed["order_id"].as_str().expect("an id").to_owned());
    }
    api.post(&format!("/orders/{}/cancel", ids[2]), "").await;
    let some =
        |numbers: &[usize]| numbers.iter().map(|number| ids[*number].clone()).collect::<Vec<_>>();
    let rows: [(&str, Vec<Vec<String>>); 7] = [
        ("limit=7", vec![some(&[6, 5, 4, 3, 2, 1, 0])]),
        ("limit=3", vec![some(&[6, 5, 4]), some(&[3, 2, 1]), some(&[0])]),
        ("customer_id=even+one&limit=3", vec![some(&[6, 4, 2]), some(&[0])]),
        ("status=cancelled", vec![some(&[2])]),
        ("customer_id=odd&status=cancelled", vec![vec![]]),
        ("status=created&limit=6", vec![some(&[6, 5, 4, 3, 1, 0])]),
        ("customer_id=nobody", vec![vec![]]),
    ];
    for (query, expected) in rows {
        assert_eq!(pages(&api, query).await, expected, "{query}");
    }
    let listed = body(api.get("/orders?status=cancelled").await).await;
    assert_eq!(
        listed["orders"][0],
        body(api.get(&format!("/orders/{}", ids[2])).await).await,
        "the same order"
    );
    let wrong = body(api.get("/orders?status=lost&page=2").await).await;
    assert_eq!(
        (&wrong["errors"][0]["pointer"], &wrong["errors"][1]["pointer"]),
        (&json!("?status"), &json!("?page"))
    );
}
