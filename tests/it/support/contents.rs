//! What Redis holds, to be compared with what it holds later.

use outflow_connect::redis::{Args, Redis, Reply};

/// How many entries `events.order` has, and the only journal with its fields in order. Closes the
/// connection.
pub(crate) async fn held(admin: Redis) -> (i64, Vec<String>) {
    let length = admin
        .call("XLEN", ["events.order"].into())
        .await
        .expect("a length")
        .int()
        .expect("a number");
    let journal = admin.call("KEYS", ["outflow:journal:*"].into()).await.expect("keys");
    let journal = journal.items().first().and_then(Reply::string).unwrap_or_default();
    let fields = admin.call("HGETALL", Args::from([journal.as_str()])).await.expect("fields");
    let mut fields: Vec<String> =
        fields.items().chunks(2).map(|pair| format!("{pair:?}")).collect();
    fields.sort();
    admin.close().await;
    (length, fields)
}
