//! A shop's outbox in the middle of a night: every page has something to show, and something to
//! mend.

use outflow_local::{eventually, free_port};

use super::tab::Tab;
use crate::console::{OPERATE, Served, configuration};
use crate::support::{LIMIT, Stage, outbox};

/// The stream that everything happens to.
pub(super) const STREAM: &str = "events.order";

/// Errors of consumers, as their dead letters have them: group, type, attempts, error.
const ERRORS: [(&str, &str, &str, &str); 5] = [
    ("mailer", "OrderPlaced", "5", "HTTP 503 of smtp-relay: try again in 30 s"),
    ("mailer", "OrderPlaced", "5", "HTTP 503 of smtp-relay: try again in 60 s"),
    ("mailer", "OrderPlaced", "5", "HTTP 503 of smtp-relay: try again in 90 s"),
    ("mailer", "OrderShipped", "5", "no template for the language \"tlh\""),
    ("billing", "OrderPaid", "1", "the handler panicked: attempt to divide by zero"),
];

/// A page, what it is called, and what it must show of the shop.
pub(super) struct Page {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) shows: &'static [&'static str],
}

/// Every page, with something in it.
pub(super) static PAGES: [Page; 16] = [
    Page {
        name: "overview",
        path: "/",
        shows: &[
            "What is wrong",
            "the stream events.refund refuses its events",
            "the stream events.invoice is paused, 1 event waits",
            "3 dead letters, too_large",
            "64 of 64",
        ],
    },
    Page {
        name: "streams",
        path: "/streams",
        shows: &["1 to 3 of 3 streams.", "events.payment", "lag 48, pending 12, consumers 1"],
    },
    Page {
        name: "stream",
        path: "/streams/show?name=events.order",
        shows: &["billing", "OrderShipped", "\"customer\": \"Grace Hopper\"", "Older"],
    },
    Page {
        name: "group",
        path: "/streams/group?name=events.order&group=mailer",
        shows: &["Drop this group…", "mailer-1", "Pending entries, the oldest first"],
    },
    Page {
        name: "find",
        path: "/find?text=0198c0de-0000-7000-8000-000000000001",
        shows: &["sent", "order-1000", "pending at mailer-1", "not delivered yet"],
    },
    Page {
        name: "dead-letters",
        path: "/dead-letters",
        shows: &["4 dead letters in 2 groups", "too_large", "no_stream", "events.order"],
    },
    Page {
        name: "letters",
        path: "/dead-letters/letters?reason=too_large",
        shows: &["import-2", "CatalogImported", "Discard all of this filter…"],
    },
    Page {
        name: "letter",
        path: "/dead-letters/letter?id=1",
        shows: &["import-1", "too_large", "Payload", "Retry…"],
    },
    Page {
        name: "consumers",
        path: "/dead-letters/stream?name=events.order",
        shows: &["5 dead letters in", "HTTP # of smtp-relay: try again in # s", "up to 5"],
    },
    Page {
        name: "consumers-letters",
        path: "/dead-letters/stream/letters?name=events.order",
        shows: &["the handler panicked", "dead_attempts", "Retry all of these…"],
    },
    Page {
        name: "discard",
        path: "/dead-letters/discard?reason=too_large",
        shows: &["Permanently delete 3 dead letters?", "Cancel"],
    },
    Page {
        name: "actions",
        path: "/actions",
        shows: &["events.invoice", "until the ledger is closed", "events.refund", "Retry now…"],
    },
    Page {
        name: "pause",
        path: "/actions/pause?outbox=orders",
        shows: &["Pause outbox orders?", "events of the outbox wait now", "For how long"],
    },
    Page {
        name: "replay",
        path: "/actions/replay?outbox=orders",
        shows: &["Replay events of orders", "Count first"],
    },
    Page {
        name: "check",
        path: "/check",
        shows: &["As outflow check finds them", "As it should be"],
    },
    Page {
        name: "audit",
        path: "/audit",
        shows: &["pause", "until the ledger is closed", "command line"],
    },
];

/// The servers, and the relay with its console.
pub(super) struct Shop {
    pub(super) stage: Stage,
    pub(super) served: Served,
}

impl Shop {
    pub(super) async fn open() -> Self {
        let stage = Stage::new(&outbox("")).await;
        let port = free_port().expect("a port");
        let listen = format!("listen = \"127.0.0.1:{port}\"");
        let small = "event_bytes_max = \"8KB\"\n";
        stage.configure(&(configuration(&stage, &listen) + small));
        stage.command("SET", &["events.refund", "a plain value"]).await;
        let why = ["--stream", "events.invoice", "--why", "until the ledger is closed"];
        stage.asked(&[&["pause", "--outbox", "orders"][..], &why[..]].concat()).await.data();
        stage.sql(include_str!("shop.sql")).await;
        let served = Served { program: stage.relay(), port };
        served.listens().await;
        for (stream, entries) in [(STREAM, 60), ("events.payment", 25)] {
            stage.reaches(stream, entries).await;
        }
        let shop = Self { stage, served };
        shop.read().await;
        shop.bury().await;
        shop.is_known().await;
        shop
    }

    /// Somebody who may act looks at it.
    pub(super) async fn visited(&self) -> Tab {
        let tab = Tab::open(&self.stage, self.served.port).await;
        tab.log_in(OPERATE).await;
        tab
    }

    /// One group is up to date, one has begun, and one has never read.
    async fn read(&self) {
        for group in ["billing", "mailer", "search"] {
            self.stage.command("XGROUP", &["CREATE", STREAM, group, "0"]).await;
        }
        let streams = ["STREAMS", STREAM, ">"];
        let billing = ["GROUP", "billing", "billing-1", "COUNT", "60", "NOACK"];
        self.stage.command("XREADGROUP", &[&billing[..], &streams[..]].concat()).await;
        let mailer = ["GROUP", "mailer", "mailer-1", "COUNT", "12"];
        self.stage.command("XREADGROUP", &[&mailer[..], &streams[..]].concat()).await;
    }

    async fn bury(&self) {
        let now = jiff::Timestamp::now().to_string();
        let first = self.stage.command("XRANGE", &[STREAM, "-", "+", "COUNT", "1"]).await;
        let first = first.items()[0].items()[0].string().expect("an id");
        for (number, (group, kind, attempts, error)) in (2_000..).zip(ERRORS) {
            let (event, key) = (format!("event-{number}"), format!("order-{number}"));
            let payload = format!("{{\"order_id\":\"{key}\",\"total\":\"19.90\"}}");
            let pairs = [
                ("id", event.as_str()),
                ("type", kind),
                ("key", key.as_str()),
                ("payload", payload.as_str()),
                ("dead_stream", STREAM),
                ("dead_entry_id", first.as_str()),
                ("dead_group", group),
                ("dead_attempts", attempts),
                ("dead_error", error),
                ("dead_at", now.as_str()),
            ];
            let fields = pairs.iter().flat_map(|(name, value)| [*name, *value]);
            let words: Vec<&str> = ["events.order.dead", "*"].into_iter().chain(fields).collect();
            self.stage.command("XADD", &words).await;
        }
    }

    /// Waits until the relay has given up what it cannot deliver, and has said what is parked.
    async fn is_known(&self) {
        let letters = "select count(*) from outflow.dead_letter";
        eventually(LIMIT, "the dead letters", async || self.stage.number(letters).await == 4)
            .await
            .expect("four of them");
        let browser = crate::console::Browser::with(self.served.port, OPERATE).await;
        browser.sees("/", &["refuses its events"]).await;
    }
}
