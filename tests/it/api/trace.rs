//! One trace: from the request into the event, and an order followed by its trace id through the
//! logs of all programs.

use std::path::Path;

use outflow_local::{Program, eventually, free_port};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Api;
use crate::support::{LIMIT, Stage, outbox, program};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn companion(stage: &Stage, name: &str, binary: &str, args: &[&str]) -> (Program, String) {
    let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
    let postgres = stage.postgres.url();
    let log = ["--log-format", "json", "--log-level", "info,outflow=debug"];
    let args = [&["--listen", &listen, "--postgres-url", &postgres], &log[..], args].concat();
    let program = Program::start(name, Path::new(binary), &args, &[], stage.path()).expect(name);
    (program, format!("http://{listen}"))
}

/// The lines that have the trace's id, in their own fields or in those of a span around them.
fn lines(program: &Program) -> Vec<Value> {
    let all = program.log();
    let ours = |line: &&str| line.contains(&format!("\"trace_id\":\"{TRACE}\""));
    all.lines().filter(ours).map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[tokio::test]
async fn an_order_is_followed_through_all_logs_by_its_trace() {
    let stage = Stage::new(&outbox("")).await;
    let relay = stage.outflow_with(
        "relay",
        &["run"],
        &[("OUTFLOW_LOG__LEVEL", "info,outflow::events=trace"), ("OUTFLOW_LOG__FORMAT", "json")],
    );
    let (api, base) = companion(&stage, "order-api", program("order-api"), &[]);
    let redis = stage.redis.url();
    let step = |name: &'static str| {
        let args = ["--redis-url", &redis, "--step", name, "--consumer", name];
        companion(&stage, name, program("order-consumer"), &args).0
    };
    let steps = [step("inventory"), step("payment"), step("order")];
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let ready = async || {
        let answer = http.get(format!("{base}/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    };
    eventually(LIMIT, "the API to be ready", ready).await.expect("in time");

    let order =
        json!({ "customer_id": "c", "items": [{ "sku": "a", "quantity": 1, "unit_price": 1 }] });
    // Another one, whose lines are not ours.
    http.post(format!("{base}/orders")).json(&order).send().await.expect("an answer");
    let request = http.post(format!("{base}/orders")).json(&order).header("x-request-id", "traced");
    let answer = request
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::CREATED);
    let placed: Value = answer.json().await.expect("JSON");
    let id = placed["order_id"].as_str().expect("an id");
    let url = format!("{base}/orders/{id}");
    let confirmed = async || {
        let order: Option<Value> = http.get(&url).send().await.ok()?.json().await.ok();
        order.filter(|order| order["status"] == "confirmed")
    };
    eventually(LIMIT, "the order to be confirmed", confirmed).await.expect("in time");
    let sent = async || lines(&relay).len() == 4;
    eventually(LIMIT, "the last event to be appended", sent).await.expect("in time");

    let answered = lines(&api);
    assert_eq!(answered.len(), 1, "{answered:?}");
    assert_eq!(
        (&answered[0]["message"], &answered[0]["span"]["request_id"]),
        (&json!("answered"), &json!("traced"))
    );
    let appended: Vec<Value> = lines(&relay);
    let types: Vec<&str> = appended.iter().filter_map(|line| line["event_type"].as_str()).collect();
    assert_eq!(types, ["OrderCreated", "StockReserved", "PaymentTaken", "OrderConfirmed"]);
    for (step, handled) in steps.iter().zip(["OrderCreated", "StockReserved", "PaymentTaken"]) {
        let line =
            lines(step).into_iter().find(|line| line["outcome"] == "Done").expect("its effect");
        assert_eq!(
            (&line["message"], &line["span"]["event_type"]),
            (&json!("handled"), &json!(handled)),
            "{line}"
        );
        // The very event that the relay appended.
        let before = appended.iter().find(|line| line["event_type"] == handled).expect("it");
        assert_eq!(line["span"]["event_id"], before["event_id"]);
    }
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
        let parent: Vec<&str> =
            found["traceparent"].as_str().expect("a parent").split('-').collect();
        assert_eq!(
            parent.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [2, 32, 16, 2],
            "{found}"
        );
        ids.insert(parent[1].to_owned());
    }
    assert_eq!(ids.len(), 3, "each its own");
}
