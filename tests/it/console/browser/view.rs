//! How a page is shown: its width, its colors, and pictures of it.

use std::path::Path;

use fantoccini::wd::WebDriverCompatibleCommand;
use reqwest::Method;
use serde_json::{Value, json};
use url::{ParseError, Url};

use super::tab::Tab;

/// How large the page is shown, and whether in dark colors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) width: u32,
    pub(super) is_dark: bool,
}

/// What chromedriver has beyond the standard: its path, and what is sent.
#[derive(Debug)]
struct Extension(&'static str, Value);

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}

impl Tab {
    /// Sends a command of the `DevTools`; what is set so stays for the pages to come.
    pub(super) async fn dev_tools(&self, command: &str, parameters: &Value) {
        let sent = json!({ "cmd": command, "params": parameters });
        let answer = self.client.issue_cmd(Extension("goog/cdp/execute", sent)).await;
        answer.unwrap_or_else(|error| panic!("{command}: {error}"));
    }

    /// What the browser has complained of in its console since it was asked last: errors of
    /// scripts, and what a policy forbids.
    pub(super) async fn complaints(&self) -> Vec<String> {
        let asked = Extension("se/log", json!({ "type": "browser" }));
        let entries = self.client.issue_cmd(asked).await.expect("a log");
        let entries = entries.as_array().expect("entries").iter();
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Shows pages like this from now on.
    pub(super) async fn look(&self, look: Look) {
        let scheme = if look.is_dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.dev_tools("Emulation.setEmulatedMedia", &json!({ "features": features })).await;
        self.size(look.width, 900).await;
    }

    async fn size(&self, width: u32, height: u64) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.dev_tools("Emulation.setDeviceMetricsOverride", &size).await;
    }

    /// A picture of the page, as high as it is, up to `height_max`.
    pub(super) async fn picture(&self, look: Look, height_max: u64, file: &Path) {
        let height = self.run("return document.documentElement.scrollHeight").await;
        self.size(look.width, height.as_u64().expect("a height").min(height_max)).await;
        let picture = self.client.screenshot().await.expect("a picture");
        std::fs::write(file, picture).expect("a file");
        self.size(look.width, 900).await;
    }
}
