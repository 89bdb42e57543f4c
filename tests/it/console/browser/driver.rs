//! Chromium and the chromedriver that drives it, as programs of a test.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use outflow_local::{Program, free_port};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use crate::support::{LIMIT, tool};

/// One browser at a time: it has several processes, and machines have few cores.
static ONE: Mutex<()> = Mutex::const_new(());

/// Longer than a browser takes to end.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Nothing but the pages that a test opens: no question to other hosts, no window of its own.
const ARGS: [&str; 16] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
    // It ends with the driver, also with one that is killed.
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-pings",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--disable-breakpad",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--window-size=1200,900",
];

/// Whether pages may run scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scripts {
    On,
    Off,
}

/// A running browser, which ends when this is dropped.
pub(super) struct Driver {
    program: Program,
    port: u16,
    session: String,
    _one: MutexGuard<'static, ()>,
}

impl Driver {
    /// Starts a browser with its files in `dir`.
    pub(super) async fn start(dir: &Path, scripts: Scripts) -> (Self, Client) {
        let one = ONE.lock().await;
        let (chromium, chromedriver) = (tool("chromium"), tool("chromedriver"));
        let port = free_port().expect("a port");
        let (home, listen) = (dir.display().to_string(), format!("--port={port}"));
        let envs = [("HOME", home.as_str()), ("TMPDIR", home.as_str())];
        let program = Program::start("chromedriver", &chromedriver, &[&listen], &envs, dir);
        let mut program = program.expect("chromedriver");
        let address = format!("http://127.0.0.1:{port}/");
        let status = format!("{address}status");
        let ready = program.until_ready(LIMIT, async || reqwest::get(&status).await.is_ok()).await;
        ready.unwrap_or_else(|error| panic!("{error}"));
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(&chromium, dir, scripts))
            .connect(&address)
            .await
            .unwrap_or_else(|error| panic!("{error}: {}", program.log()));
        let session = client.session_id().await.expect("a session").expect("an id");
        (Self { program, port, session, _one: one }, client)
    }

    /// The end of what the driver wrote.
    pub(super) fn log_tail(&self) -> String {
        self.program.log_tail()
    }
}

impl Drop for Driver {
    /// Ends the browser, before its files go with the stage. It may have ended already.
    fn drop(&mut self) {
        let Ok(mut driver) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else {
            return;
        };
        let _ = driver.set_read_timeout(Some(END_LIMIT));
        let request = format!(
            "DELETE /session/{} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
            self.session, self.port
        );
        let _ = driver.write_all(request.as_bytes());
        let _ = driver.read_to_end(&mut Vec::new());
    }
}

fn capabilities(chromium: &Path, dir: &Path, scripts: Scripts) -> Capabilities {
    let profile = format!("--user-data-dir={}", dir.join("chromium").display());
    let args: Vec<&str> = ARGS.into_iter().chain([profile.as_str()]).collect();
    let setting = if scripts == Scripts::On { 1 } else { 2 };
    let prefs = json!({ "profile.default_content_setting_values.javascript": setting });
    let options = json!({ "binary": chromium, "args": args, "prefs": prefs });
    let all = json!({
        "goog:chromeOptions": options,
        "goog:loggingPrefs": { "browser": "WARNING" },
        // A dialog stays, and fails every command from then on.
        "unhandledPromptBehavior": "ignore",
    });
    let Value::Object(all) = all else { unreachable!("an object") };
    all
}
