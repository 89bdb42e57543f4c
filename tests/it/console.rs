//! The console in the browser, asked as a browser asks: who gets in, what is shown, what it costs.

mod access;
mod acts;
mod audit;
mod bounds;
mod browser;
mod consumers;
mod dead;
mod doors;
mod find;
mod hidden;
mod hostile;
mod jobs;
mod managed;
mod outages;
mod overview;
mod proxies;
mod quiet;
mod refused;
mod settings;
mod streams;
mod tls;

use std::os::unix::fs::PermissionsExt as _;

use outflow_local::{Program, eventually, free_port};
use parking_lot::Mutex;
use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{RequestBuilder, StatusCode};

use crate::support::{LIMIT, Stage, outbox};

/// The tokens of `anna`, who may act, and of `ben`, who may look.
const OPERATE: &str = "operate-operate-operate";
const READ: &str = "read-read-read-read-read";

/// A console of its own, or of a relay.
struct Served {
    program: Program,
    port: u16,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a text"))
    }

    /// Where the browser is sent.
    fn location(&self) -> &str {
        self.header(LOCATION.as_str())
    }

    /// The token of the forms on a page.
    fn csrf(&self) -> String {
        let (_, rest) = self.text.split_once("name=\"csrf\" value=\"").expect("a form");
        rest.split('"').next().expect("a value").to_owned()
    }

    /// Where the page's own form is posted to, and its hidden fields.
    fn form(&self) -> (String, Vec<(String, String)>) {
        let (_, form) = self.text.split_once("<form class=\"confirm\"").expect("a form");
        let form = form.split("</form>").next().expect("an end");
        let of = |text: &str, name: &str| {
            let (_, rest) = text.split_once(&format!("{name}=\"")).expect("an attribute");
            unescaped(rest.split('"').next().expect("a value"))
        };
        let fields = form.split("type=\"hidden\"").skip(1);
        let fields = fields.map(|field| (of(field, "name"), of(field, "value"))).collect();
        (of(form, "action"), fields)
    }

    /// Nothing of what others wrote acts in the page.
    fn is_inert(&self) {
        for acts in ["<script>", "<img src=x", "\" onload=", "<svg"] {
            assert!(!self.text.contains(acts), "{acts:?} in {}", self.text);
        }
        // A field of a form has what it is to be posted with.
        let values = self.text.split(" value=\"").skip(1);
        let outside = values.filter_map(|rest| rest.split_once('"').map(|(_, outside)| outside));
        let first = self.text.split(" value=\"").next().unwrap_or_default();
        for text in outside.chain([first]) {
            assert!(!text.contains(['\u{202e}', '\u{1b}']), "{text:?}");
        }
    }

    fn lacks(&self, words: &[&str]) {
        for word in words {
            assert!(!self.text.contains(word), "{word:?} in {}", self.text);
        }
    }

    fn has(&self, words: &[&str]) {
        for word in words {
            assert!(self.text.contains(word), "no {word:?} in {}", self.text);
        }
    }
}

/// The text of an attribute.
fn unescaped(text: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Somebody with a browser, which keeps one cookie and follows nothing by itself.
struct Browser {
    http: reqwest::Client,
    base: String,
    cookie: Mutex<Option<String>>,
}

impl Browser {
    fn of(port: u16) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT);
        let http = http.redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { http, base: format!("http://127.0.0.1:{port}"), cookie: Mutex::default() }
    }

    fn ask(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let body = serde_urlencoded::to_string(fields).expect("a form");
        let request = self.http.post(format!("{}{path}", self.base)).body(body);
        request.header("content-type", "application/x-www-form-urlencoded")
    }

    async fn send(&self, mut request: RequestBuilder) -> Answer {
        if let Some(cookie) = self.cookie.lock().as_ref() {
            request = request.header(COOKIE, cookie);
        }
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status(), answer.headers().clone());
        if let Some(cookie) = headers.get(SET_COOKIE) {
            let cookie = cookie.to_str().expect("a text");
            let pair = cookie.split(';').next().expect("a pair").to_owned();
            *self.cookie.lock() = Some(pair).filter(|pair| !pair.ends_with('='));
        }
        Answer { status, headers, text: answer.text().await.expect("a text") }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(self.ask(path)).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(self.form(path, fields)).await
    }

    /// Posts what a page asks about: its form, with these fields filled in. Returns the page that
    /// the browser is sent to, once it says what came of it.
    async fn confirms(&self, path: &str, filled: &[(&str, &str)]) -> Answer {
        let (place, page) = self.begins(path, filled).await;
        // A busy machine is still at it.
        if page.text.contains("<progress") { self.gone(&place, "<progress").await } else { page }
    }

    /// The same, without waiting for its end. Returns where the page is, too.
    async fn begins(&self, path: &str, filled: &[(&str, &str)]) -> (String, Answer) {
        let asked = self.get(path).await;
        assert_eq!(asked.status, StatusCode::OK, "{asked:?}");
        let (action, mut fields) = asked.form();
        fields.extend(filled.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = self.post(&action, &fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
        let place = answer.location().to_owned();
        let page = self.get(&place).await;
        (place, page)
    }

    async fn log_in(&self, token: &str) -> Answer {
        self.post("/login", &[("token", token), ("next", "/")]).await
    }

    /// Somebody who has logged in.
    async fn with(port: u16, token: &str) -> Self {
        let browser = Self::of(port);
        let answer = browser.log_in(token).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
        browser
    }

    /// Waits until a page has these words.
    async fn sees(&self, path: &str, words: &[&str]) -> Answer {
        let what = format!("{path} to have {words:?}");
        let seen = eventually(LIMIT, &what, async || {
            let answer = self.get(path).await;
            words.iter().all(|word| answer.text.contains(word)).then_some(answer)
        });
        match seen.await {
            Ok(answer) => answer,
            Err(error) => panic!("{error}: {}", self.get(path).await.text),
        }
    }

    /// Waits until a page has these words no more.
    async fn gone(&self, path: &str, words: &str) -> Answer {
        let what = format!("{path} without {words:?}");
        let gone = eventually(LIMIT, &what, async || {
            Some(self.get(path).await).filter(|answer| !answer.text.contains(words))
        });
        gone.await.expect("an answer without them")
    }
}

/// Writes a token for its owner only.
fn write_token(stage: &Stage, name: &str, token: &str) -> String {
    let file = stage.path().join(name);
    std::fs::write(&file, format!("{token}\n")).expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    file.display().to_string()
}

/// The section of the configuration, with both tokens, and the usual outbox.
fn configuration(stage: &Stage, more: &str) -> String {
    let token = |name: &str, role: &str, token: &str| {
        let file = write_token(stage, name, token);
        format!("[[console.tokens]]\nname = {name:?}\nrole = {role:?}\nfile = {file:?}\n")
    };
    let tokens = [token("anna", "operate", OPERATE), token("ben", "read", READ)].concat();
    format!("[console]\n{more}\n{tokens}{}", outbox(""))
}

/// Starts a process of its own and waits for it.
async fn console(stage: &Stage, more: &str) -> Served {
    stage.configure(&configuration(stage, more));
    let port = free_port().expect("a port");
    let listen = format!("127.0.0.1:{port}");
    let program = stage.outflow("console", &["console", "--listen", &listen]);
    let served = Served { program, port };
    served.listens().await;
    served
}

impl Served {
    async fn listens(&self) {
        let browser = Browser::of(self.port);
        let answers = async || browser.ask("/login").send().await.is_ok();
        let waited = eventually(LIMIT, "the console", answers).await;
        assert!(waited.is_ok(), "{}", self.program.log());
    }
}
