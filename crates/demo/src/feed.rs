//! Reads the streams as a consumer would, on a connection of its own, and reports every entry to
//! the ledger.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::STREAMS;
use super::ledger::{Entry, Kind, Ledger};
use outflow_connect::redis::{Args, Failure, Redis, Reply};

const READ_COUNT: i64 = 1_000;
/// Short, so that a stop is noticed soon.
const BLOCK: Duration = Duration::from_millis(200);
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A reader of the streams from their beginning.
pub(super) struct Feed {
    redis: Redis,
    ledger: Arc<Mutex<Ledger>>,
    last: [String; STREAMS.len()],
}

/// The part of an event's payload that the ledger needs.
#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    sku: String,
    quantity: i64,
}

impl Feed {
    fn open(url: &str, ledger: Arc<Mutex<Ledger>>) -> Self {
        let url = SecretString::from(url.to_owned());
        let redis = Redis::open(&url, "demo").expect("a private server's address is valid");
        Self { redis, ledger, last: STREAMS.map(|_| "0".to_owned()) }
    }

    /// Reads until `stop`. An outage of Redis is waited out: reading on from the last id repeats
    /// nothing.
    async fn follow(mut self, stop: CancellationToken) -> Self {
        while !stop.is_cancelled() {
            if self.read(Some(BLOCK)).await.is_err() {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
        self
    }

    /// Reads what is there and returns at the end of the streams.
    pub(super) async fn drain(&mut self) -> Result<(), Failure> {
        while self.read(None).await? > 0 {}
        Ok(())
    }

    /// How many entries came.
    async fn read(&mut self, block: Option<Duration>) -> Result<usize, Failure> {
        let mut args = Args::default();
        args.word("COUNT").int(READ_COUNT);
        if let Some(block) = block {
            args.word("BLOCK").int(i64::try_from(block.as_millis()).unwrap_or(i64::MAX));
        }
        args.word("STREAMS");
        for stream in STREAMS {
            args.word(stream);
        }
        for last in &self.last {
            args.text(last.as_str());
        }
        let reply = match block {
            Some(block) => self.redis.call_blocking("XREAD", args, block).await?,
            None => self.redis.call("XREAD", args).await?,
        };
        let now = Timestamp::now();
        let mut count = 0;
        let mut ledger = self.ledger.lock();
        for of_stream in reply.items() {
            let [name, entries] = of_stream.items() else { continue };
            let Some(at) = STREAMS.iter().position(|stream| text(name) == Some(*stream)) else {
                continue;
            };
            for entry in entries.items() {
                if let Some(entry) = parse(STREAMS[at], entry, now) {
                    ledger.relay(entry);
                }
                if let Some(id) = entry.items().first().and_then(text) {
                    id.clone_into(&mut self.last[at]);
                }
            }
            count += entries.items().len();
        }
        Ok(count)
    }
}

/// A feed at work.
pub(super) struct Following {
    url: String,
    ledger: Arc<Mutex<Ledger>>,
    stop: CancellationToken,
    reading: JoinSet<Feed>,
}

impl Following {
    /// Of that server; nothing is read yet.
    pub(super) fn new(url: String, ledger: Arc<Mutex<Ledger>>) -> Self {
        Self { url, ledger, stop: CancellationToken::new(), reading: JoinSet::new() }
    }

    /// Reads the streams from their beginning.
    pub(super) fn start(&mut self) {
        self.stop = CancellationToken::new();
        let feed = Feed::open(&self.url, Arc::clone(&self.ledger));
        self.reading.spawn(feed.follow(self.stop.clone()));
    }

    /// Reads no further. Returns the reader, who knows how far it has come.
    pub(super) async fn stop(&mut self) -> Option<Feed> {
        self.stop.cancel();
        self.reading.join_next().await?.ok()
    }
}

/// An entry about an order; others are left out.
fn parse(stream: &str, entry: &Reply, now: Timestamp) -> Option<Entry> {
    let id = text(entry.items().first()?)?;
    let fields = entry.items().get(1)?.items();
    let field = |name| {
        fields
            .chunks_exact(2)
            .find(|pair| text(&pair[0]) == Some(name))
            .and_then(|pair| text(&pair[1]))
    };
    let kind = match field("type")? {
        "OrderCreated" => Kind::Created,
        "OrderConfirmed" => Kind::Confirmed,
        "OrderRejected" => Kind::Rejected,
        "OrderCancelled" => Kind::Cancelled,
        _ => Kind::Step,
    };
    let written: Timestamp = field("time")?.parse().ok()?;
    let payload: Payload = serde_json::from_str(field("payload")?).ok()?;
    Some(Entry {
        id: format!("{stream} {id}"),
        event_id: field("id")?.to_owned(),
        kind,
        key: field("key")?.to_owned(),
        items: payload.items.into_iter().map(|item| (item.sku, item.quantity)).collect(),
        lag: Duration::try_from(now.duration_since(written)).unwrap_or_default(),
    })
}

fn text(reply: &Reply) -> Option<&str> {
    std::str::from_utf8(reply.text()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> Reply {
        Reply::List(words.iter().map(|word| Reply::Text(word.to_string().into())).collect())
    }

    #[test]
    fn an_entry_is_read_by_its_field_names() {
        let payload =
            r#"{"order_id":"A","items":[{"sku":"sku-1","quantity":3,"unit_price":"1.50"}]}"#;
        let fields =
            ["id", "e-1", "type", "OrderCreated", "key", "A", "time", "2026-01-02T03:04:05.5Z"];
        let fields = list(&[&fields[..], &["payload", payload]].concat());
        let entry = Reply::List(vec![Reply::Text("1-0".into()), fields]);
        let now = "2026-01-02T03:04:06Z".parse().expect("a time");
        let entry = parse("events.order", &entry, now).expect("an entry");
        assert_eq!(
            (entry.id.as_str(), entry.event_id.as_str(), entry.kind, entry.key.as_str()),
            ("events.order 1-0", "e-1", Kind::Created, "A")
        );
        assert_eq!(entry.items, [("sku-1".to_owned(), 3)]);
        assert_eq!(entry.lag, Duration::from_millis(500));
    }

    #[test]
    fn what_is_about_no_order_is_left_alone() {
        let entry =
            Reply::List(vec![Reply::Text("1-0".into()), list(&["id", "e-1", "type", "Restocked"])]);
        assert!(parse("events.stock", &entry, Timestamp::now()).is_none());
    }
}
