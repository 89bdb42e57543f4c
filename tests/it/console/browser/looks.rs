//! Accessibility, narrow and dark screens, and a picture of each page.

use std::path::{Path, PathBuf};

use outflow_local::eventually;
use serde_json::Value;

use super::shop::{PAGES, Shop};
use super::tab::Tab;
use super::view::Look;
use crate::support::LIMIT;

/// As Deque publishes it: see tests/axe-core/README.md.
const AXE: &str = include_str!("../../../axe-core/axe.min.js");

/// What WCAG 2.2 asks for at levels A and AA, as far as a program can tell. Each violation is told
/// with its elements.
const VIOLATIONS: &str = "const done = arguments[0]; \
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']; \
    axe.run({ runOnly: { type: 'tag', values: tags }, resultTypes: ['violations'] }).then(\
        found => done(found.violations.map(one => one.id + ': ' + one.help + ': ' + \
            one.nodes.map(node => node.html + ' ' + node.failureSummary).join('; '))), \
        error => done(['axe failed: ' + error]))";

const LIGHT: Look = Look { width: 1_200, is_dark: false };
const DARK: Look = Look { is_dark: true, ..LIGHT };
const NARROW: Look = Look { width: 400, ..LIGHT };

/// As high as a picture may be.
const HEIGHT_MAX: u64 = 2_400;
/// One that `scripts/console-pictures.sh` copies into the documentation is small.
const DOCS_WIDTH: u32 = 1_000;
const DOCS_HEIGHT_MAX: u64 = 850;

/// Where the pictures are left.
fn pictures() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let folder = target.join("console");
    std::fs::create_dir_all(folder.join("docs")).expect("a directory");
    folder
}

impl Tab {
    /// What axe-core finds wrong in the page.
    pub(super) async fn violations(&self) -> Value {
        self.run(AXE).await;
        self.run_async(VIOLATIONS).await
    }
}

/// Also pages that are none of the shop's: the log-in, one entry, and a wrong address.
#[tokio::test]
async fn nobody_is_kept_out_by_how_pages_are_made() {
    let shop = Shop::open().await;
    let tab = Tab::open(&shop.stage, shop.served.port).await;
    let mut found = Vec::new();
    let none = Value::Array(Vec::new());
    let mut check = async |name: &str, look: Look| {
        let violations = tab.violations().await;
        if violations != none {
            found.push(format!("{name} {look:?}: {violations:#}"));
        }
    };
    for look in [LIGHT, DARK, NARROW] {
        tab.look(look).await;
        tab.goto("/login").await;
        check("login", look).await;
        tab.log_in(crate::console::OPERATE).await;
        for page in &PAGES {
            tab.shows(page.path, page.shows).await;
            check(page.name, look).await;
        }
        tab.goto("/streams/show?name=events.order").await;
        tab.run("document.querySelector('main a[href*=\"/streams/entry?\"]').click()").await;
        tab.sees(&["Appended", "customer"]).await;
        check("entry", look).await;
        tab.shows("/nowhere", &["There is no such page."]).await;
        check("no page", look).await;
        tab.click("Log out").await;
        tab.sees(&["Token"]).await;
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Nothing sticks out of a screen of 400 pixels, whatever the colors.
#[tokio::test]
async fn narrow_screens_are_wide_enough() {
    let shop = Shop::open().await;
    let tab = shop.visited().await;
    for is_dark in [false, true] {
        tab.look(Look { is_dark, ..NARROW }).await;
        for page in &PAGES {
            tab.shows(page.path, page.shows).await;
            let width = tab.run("return document.documentElement.scrollWidth").await;
            assert_eq!(width, 400, "{}", page.path);
        }
        let dark = tab.run("return matchMedia('(prefers-color-scheme: dark)').matches").await;
        assert_eq!(dark, is_dark);
    }
}

/// Pictures of all pages. `CONSOLE_PICTURES=1` takes its time for plots with something in them.
#[tokio::test]
async fn every_page_has_its_picture() {
    let shop = Shop::open().await;
    let tab = shop.visited().await;
    let folder = pictures();
    tab.look(LIGHT).await;
    tab.goto("/").await;
    let samples = if std::env::var_os("CONSOLE_PICTURES").is_some() { 24 } else { 2 };
    shop.is_busy(&tab, samples).await;
    let views = [("overview", LIGHT), ("overview-dark", DARK), ("overview-narrow", NARROW)];
    let overviews = views.map(|(name, look)| (name, look, &PAGES[0]));
    let others = PAGES[1..].iter().map(|page| (page.name, LIGHT, page));
    for (name, look, page) in overviews.into_iter().chain(others) {
        tab.look(look).await;
        // A plot takes its colors and its width when it is drawn.
        tab.shows(page.path, page.shows).await;
        tab.until("document.querySelectorAll('[data-plot]:not(:has(.uplot canvas))').length === 0")
            .await;
        let file = format!("{name}.png");
        tab.picture(look, HEIGHT_MAX, &folder.join(&file)).await;
        let small = Look { width: look.width.min(DOCS_WIDTH), ..look };
        tab.picture(small, DOCS_HEIGHT_MAX, &folder.join("docs").join(&file)).await;
        let size = std::fs::metadata(folder.join(&file)).expect("a picture").len();
        assert!((5_000..2_000_000).contains(&size), "{name}: {size} bytes");
    }
}

impl Shop {
    /// Orders come, more and fewer of them, until the overview has so many samples.
    async fn is_busy(&self, tab: &Tab, samples: usize) {
        let client = self.stage.client().await;
        let insert = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
            select 'payment', 'payment-' || n, 'PaymentCaptured', '{\"amount\": \"49.90\"}' from \
            generate_series(1, $1::int) n";
        let mut round = 0;
        let limit = LIMIT * 5;
        let seen = eventually(limit, "samples of the plots", async || {
            round += 1;
            let many = 4 + (round / 300 * 7) % 23 + round % 5;
            client.execute(insert, &[&many]).await.expect("rows");
            let count = "return JSON.parse(document.querySelector('[data-plot]').dataset.plot)\
                .times.length";
            let count = tab.run(count).await;
            count.as_u64().is_some_and(|count| count >= samples as u64)
        });
        seen.await.expect("samples");
    }
}
