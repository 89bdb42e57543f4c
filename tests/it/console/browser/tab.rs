//! A tab of a real browser, in which a test does what a person does.

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::{Client, Locator};
use outflow_local::eventually;
use serde_json::Value;

use super::driver::{Driver, Scripts};
use crate::support::{LIMIT, Stage};

/// One page, for the console on a port.
pub(super) struct Tab {
    pub(super) client: Client,
    driver: Driver,
    base: String,
}

impl Tab {
    /// A browser of its own, with its files in the stage's directory, for the console on `port`.
    pub(super) async fn open(stage: &Stage, port: u16) -> Self {
        Self::open_with(stage, port, Scripts::On).await
    }

    pub(super) async fn open_with(stage: &Stage, port: u16, scripts: Scripts) -> Self {
        let (driver, client) = Driver::start(stage.path(), scripts).await;
        Self { client, driver, base: format!("http://127.0.0.1:{port}") }
    }

    /// Opens a page of the console.
    pub(super) async fn goto(&self, path: &str) {
        self.goto_elsewhere(&format!("{}{path}", self.base)).await;
    }

    /// Opens any page.
    pub(super) async fn goto_elsewhere(&self, url: &str) {
        if let Err(error) = self.client.goto(url).await {
            panic!("{url}: {error}: {}", self.driver.log_tail());
        }
    }

    /// Logs in through the form.
    pub(super) async fn log_in(&self, token: &str) {
        self.goto("/login").await;
        self.fill("token", token).await;
        self.click("Log in").await;
        self.sees(&["Overview"]).await;
    }

    /// Path and query of the page that is shown.
    pub(super) async fn at(&self) -> String {
        let url = self.client.current_url().await.expect("an address");
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", url.path())
    }

    /// What a reader sees.
    pub(super) async fn text(&self) -> String {
        self.try_text().await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn try_text(&self) -> Result<String, CmdError> {
        let body = self.client.find(Locator::Css("body")).await?;
        body.text().await
    }

    /// Waits until the page shows these words, however their letters and spaces are dressed up.
    pub(super) async fn sees(&self, words: &[&str]) -> String {
        let what = format!("{words:?}");
        let seen = eventually(LIMIT, &what, async || {
            let text = self.try_text().await.ok()?;
            words.iter().all(|word| has(&text, word)).then_some(text)
        });
        match seen.await {
            Ok(text) => text,
            Err(error) => panic!("{error}: {} shows {}", self.at().await, self.text().await),
        }
    }

    /// Opens a page and waits for these words.
    pub(super) async fn shows(&self, path: &str, words: &[&str]) -> String {
        self.goto(path).await;
        self.sees(words).await
    }

    /// Presses the first link or button with this text.
    pub(super) async fn click(&self, label: &str) {
        self.click_in("//body", label).await;
    }

    /// The same, if the navigation has a link that is called so.
    pub(super) async fn submit(&self, label: &str) {
        self.click_in("//main//form", label).await;
    }

    /// The same, in the row of a table, or the item of a list, that has this text.
    pub(super) async fn click_beside(&self, text: &str, label: &str) {
        let row = "[self::tr or self::li or self::article]";
        let row = format!("//*{row}[contains(., {})]", quoted(text));
        self.click_in(&row, label).await;
    }

    async fn click_in(&self, within: &str, label: &str) {
        let of = "[self::a or self::button or self::summary]";
        let path = format!("{within}//*{of}[normalize-space(.) = {}]", quoted(label));
        self.on(&path, async |element| element.click().await).await;
    }

    /// Writes into the field of this name.
    pub(super) async fn fill(&self, name: &str, text: &str) {
        let path = format!("//input[@name = {name:?} and not(@type = 'hidden')]");
        self.on(&path, async |element| {
            element.clear().await?;
            element.send_keys(text).await
        })
        .await;
    }

    /// Does something with an element, once it is there. One that is replaced meanwhile is looked
    /// for again.
    async fn on(&self, path: &str, act: impl AsyncFn(&Element) -> Result<(), CmdError>) {
        let mut last = String::new();
        let done = eventually(LIMIT, path, async || {
            let done = match self.client.find(Locator::XPath(path)).await {
                Ok(element) => act(&element).await,
                Err(error) => Err(error),
            };
            done.map_err(|error| last = error.to_string()).is_ok()
        });
        if let Err(error) = done.await {
            panic!("{error}: {last}: {} shows {}", self.at().await, self.text().await);
        }
    }

    /// What a script returns.
    pub(super) async fn run(&self, script: &str) -> Value {
        let returned = self.client.execute(script, Vec::new()).await;
        returned.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// What a script hands to its last argument.
    pub(super) async fn run_async(&self, script: &str) -> Value {
        let returned = self.client.execute_async(script, Vec::new()).await;
        returned.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until a script returns true.
    pub(super) async fn until(&self, condition: &str) {
        let holds = eventually(LIMIT, condition, async || {
            let returned = self.client.execute(&format!("return {condition}"), Vec::new()).await;
            returned.is_ok_and(|value| value == Value::Bool(true))
        });
        if let Err(error) = holds.await {
            panic!("{error}: {} shows {}", self.at().await, self.text().await);
        }
    }

    /// Enters the first frame of the page.
    pub(super) async fn enter_frame(&self) {
        self.client.enter_frame(0).await.expect("a frame");
    }
}

fn has(text: &str, word: &str) -> bool {
    let plain = |text: &str| text.replace('\u{202f}', " ").to_lowercase();
    plain(text).contains(&plain(word))
}

/// As a text of an `XPath`, which knows no escapes.
fn quoted(text: &str) -> String {
    if text.contains('"') { format!("'{text}'") } else { format!("\"{text}\"") }
}
