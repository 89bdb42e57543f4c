//! Event data is hostile, and so are pages of other sites.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use outflow_core::task;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::tab::Tab;
use crate::console::hostile::{pages, scene};
use crate::console::{Browser, OPERATE, console};
use crate::support::{Stage, outbox};

/// What would act in a page in each of the ways there are, and say so.
const EVIL: &str = "<script>window.pwned=1</script>'\"><img src=x onerror=window.pwned=1>\
    <svg onload=window.pwned=1></svg></pre></title></textarea><iframe srcdoc='x'></iframe>\
    <a href=javascript:window.pwned=1>here</a><b hx-get=/audit data-live=/live>x</b>\
    \u{202e}\u{1b}[2J\" autofocus onfocus=\"window.pwned=1\" x=\"<!--";

/// The same for values that are short enough to be shown in a line: up to 80 characters.
const SHORT: &str = "<img src=x onerror=window.pwned=1><svg onload=window.pwned=1>";

/// How many elements there are in the page that none of ours is like.
const INJECTED: &str = "return document.querySelectorAll(\
    'script:not([src^=\"/assets/\"]), iframe, img[src=\"x\"], b, svg[onload], [onerror], \
    [onfocus], [hx-get], [x], main [autofocus], [href^=\"javascript:\"]').length";

impl Tab {
    /// Nothing that others wrote has acted in this page, or is more than text.
    async fn is_unharmed(&self, page: &str) {
        assert_eq!(self.run("return window.pwned").await, Value::Null, "{page}");
        assert_eq!(self.run(INJECTED).await, 0, "{page}: {}", self.text().await);
    }

    async fn is_unharmed_everywhere(&self, stream: &str, evil: &str) {
        // The pages hold without their policy as well.
        self.dev_tools("Page.setBypassCSP", &json!({ "enabled": true })).await;
        for page in pages(stream, evil) {
            self.goto(&page).await;
            self.is_unharmed(&page).await;
        }
    }
}

#[tokio::test]
async fn what_is_shown_in_a_line_is_text_on_every_page() {
    let stage = Stage::new(&outbox("")).await;
    let stream = scene(&stage, SHORT).await;
    let served = console(&stage, "").await;
    let tab = Tab::open(&stage, served.port).await;
    tab.log_in(OPERATE).await;
    tab.is_unharmed_everywhere(&stream, SHORT).await;
}

#[tokio::test]
async fn what_events_carry_is_text_on_every_page() {
    let stage = Stage::new(&outbox("")).await;
    let stream = scene(&stage, EVIL).await;
    let served = console(&stage, "").await;
    let tab = Tab::open(&stage, served.port).await;
    tab.log_in(OPERATE).await;
    tab.is_unharmed_everywhere(&stream, EVIL).await;
    let name = serde_urlencoded::to_string([("name", &stream)]).expect("a text");
    tab.shows(&format!("/streams/show?{name}"), &["<script>window.pwned=1</script>"]).await;

    // Also what the overview is given while somebody looks.
    stage.command("SET", &[&format!("{stream}!"), "no stream"]).await;
    let insert = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
        values ($1::text || '!', $1, $1, '{}')";
    stage.client().await.execute(insert, &[&EVIL]).await.expect("a row");
    tab.shows("/", &["No relay is at work."]).await;
    let _relay = stage.relay();
    tab.sees(&["refuses its events", "<script>window.pwned=1</script>"]).await;
    tab.is_unharmed("/").await;
    let why = "<img src=x onerror=window.pwned=1><script>window.pwned=1</script>";
    stage.asked(&["pause", "--outbox", "orders", "--why", why]).await.data();
    tab.sees(&["paused since", "<img src=x"]).await;
    tab.is_unharmed("/").await;
    for page in ["/actions", "/audit", "/check"] {
        tab.goto(page).await;
        tab.is_unharmed(page).await;
    }
}

/// Serves pages of another site, which send a form to the console as soon as they are opened, or
/// ask it by a script, or show it in a frame.
async fn another_site(target: &str, csrf: &str) -> (AbortOnDropHandle<()>, u16) {
    let fields = [("outbox", "orders"), ("stream", ""), ("why", "forged"), ("length", "")];
    let field = |(name, value): (&str, &str)| format!("<input name='{name}' value='{value}'>");
    let fields: String = fields.into_iter().chain([("csrf", csrf)]).map(field).collect();
    let form = format!(
        "<form method=post action='{target}/actions/pause'>{fields}</form>\
         <script>document.forms[0].submit()</script>"
    );
    let script = format!(
        "<script>fetch('{target}/actions/pause', {{ method: 'POST', mode: 'no-cors', credentials: \
         'include', body: new URLSearchParams({{ outbox: 'orders', why: 'forged', length: '', \
         stream: '', csrf: '{csrf}' }}) }}).finally(() => document.title = 'asked')</script>"
    );
    let frame = format!("<iframe src='{target}/actions'></iframe>");
    let link = format!("<a href='{target}/audit'>The audit</a>");
    let page = |text: String| get(move || async { Html(text) });
    let site = Router::new()
        .route("/form", page(form))
        .route("/script", page(script))
        .route("/frame", page(frame))
        .route("/link", page(link));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serving = task::owned(async move {
        let _ = axum::serve(listener, site).await;
    });
    (serving, port)
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let tab = Tab::open(&stage, served.port).await;
    tab.log_in(OPERATE).await;
    // They even know the token of the forms.
    let csrf = tab.run("return document.querySelector('[name=csrf]').value").await;
    let target = format!("http://127.0.0.1:{}", served.port);
    let (_site, port) = another_site(&target, csrf.as_str().expect("a token")).await;
    // To browsers the second one is the same site: they send it the cookie.
    for site in [format!("http://localhost:{port}"), format!("http://127.0.0.1:{port}")] {
        tab.goto_elsewhere(&format!("{site}/form")).await;
        tab.sees(&["was sent by a page of another site, so nothing was done"]).await;
        tab.goto_elsewhere(&format!("{site}/script")).await;
        tab.until("document.title === 'asked'").await;
        tab.goto_elsewhere(&format!("{site}/frame")).await;
        tab.enter_frame().await;
        let framed = tab.text().await;
        assert!(!framed.contains("Pause") && !framed.contains("Log in"), "{framed}");
    }
    let data = format!(
        "data:text/html,<form method=post action={target}/logout></form>\
         <script>document.forms[0].submit()</script>"
    );
    tab.goto_elsewhere(&data).await;
    tab.sees(&["was sent by a page of another site, so nothing was done"]).await;
    for table in ["outflow.pause", "outflow.audit"] {
        assert_eq!(stage.number(&format!("select count(*) from {table}")).await, 0, "{table}");
    }
    // A link elsewhere leads in, and whoever follows it is still logged in.
    tab.goto_elsewhere(&format!("http://localhost:{port}/link")).await;
    tab.click("The audit").await;
    tab.sees(&["Nothing was done yet.", "anna"]).await;
    // The same form is taken from a page of the console.
    let browser = Browser::with(served.port, OPERATE).await;
    browser.confirms("/actions/pause?outbox=orders", &[("why", "own"), ("length", "")]).await;
    assert_eq!(stage.number("select count(*) from outflow.pause").await, 1);
}
