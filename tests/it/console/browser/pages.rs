//! Logging in, and what each page shows: with scripts and without, and kept up to date.

use serde_json::Value;

use super::driver::Scripts;
use super::shop::{PAGES, Shop};
use super::tab::Tab;
use crate::console::{OPERATE, READ};

/// Everything that the page has loaded, unless it is of the console itself.
const FOREIGN: &str = "return performance.getEntriesByType('resource').map(one => one.name)\
    .filter(name => !name.startsWith(location.origin + '/'))";

#[tokio::test]
async fn people_log_in_and_see_every_page() {
    let shop = Shop::open().await;
    let tab = Tab::open(&shop.stage, shop.served.port).await;
    // Who asks for a page gets it, once they have a token.
    tab.shows("/audit", &["Log in", "console.tokens"]).await;
    tab.fill("token", "wrong-wrong-wrong-wrong").await;
    tab.click("Log in").await;
    tab.sees(&["This token is not known."]).await;
    assert_eq!(tab.at().await, "/login");
    assert_eq!(tab.run("return document.querySelector('#token').value").await, "");
    tab.fill("token", OPERATE).await;
    tab.click("Log in").await;
    tab.sees(&["Actions, the newest first", "anna", "operate"]).await;
    assert_eq!(tab.at().await, "/audit");
    assert_eq!(tab.run("return document.cookie").await, "", "no script can read the session");
    tab.click("Outflow").await;
    // Chromium notes that a log-in was refused.
    assert_eq!(tab.complaints().await.len(), 1);
    for page in &PAGES {
        tab.shows(page.path, page.shows).await;
        assert_eq!(tab.run(FOREIGN).await, Value::Array(Vec::new()), "{}", page.path);
    }
    assert_eq!(tab.complaints().await, Vec::<String>::new());
    // The navigation leads to each section.
    for section in ["Streams", "Find", "Dead letters", "Actions", "Check", "Audit", "Overview"] {
        tab.click(section).await;
        tab.until(&format!("document.querySelector('[aria-current]').innerText === '{section}'"))
            .await;
    }
    tab.click("Log out").await;
    tab.sees(&["Log in", "Token"]).await;
    tab.shows("/streams", &["Log in"]).await;
}

/// Who may only look has no button that acts.
#[tokio::test]
async fn the_role_read_has_no_buttons() {
    let shop = Shop::open().await;
    let tab = Tab::open(&shop.stage, shop.served.port).await;
    tab.log_in(READ).await;
    for page in &PAGES {
        tab.goto(page.path).await;
        let text = tab.text().await;
        for act in ["Pause…", "Resume…", "Retry now…", "Retry…", "Discard…", "Drop this group…"]
        {
            assert!(!text.contains(act), "{act} on {}", page.path);
        }
        let forms = tab.run("return document.querySelectorAll('main form[method=post]').length");
        assert_eq!(forms.await, 0, "{}", page.path);
    }
}

#[tokio::test]
async fn the_overview_is_kept_up_to_date() {
    let shop = Shop::open().await;
    let tab = shop.visited().await;
    tab.sees(&["Backlog"]).await;
    // Two refunds and an invoice wait; more of them come.
    let backlog = |events: u32| format!("document.querySelector('dd').innerText === '{events}'");
    tab.until(&backlog(3)).await;
    tab.run("window.stays = true").await;
    let insert = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) select \
        'refund', 'refund-' || n, 'RefundRequested', '{}' from generate_series(3, 9) n";
    shop.stage.sql(insert).await;
    tab.until(&backlog(10)).await;
    // A plot is drawn as soon as there are two samples.
    tab.until("document.querySelectorAll('.uplot canvas').length === 2").await;
    assert_eq!(tab.run("return window.stays").await, true, "without a reload");
    assert_eq!(tab.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn without_scripts_every_page_works() {
    let shop = Shop::open().await;
    let tab = Tab::open_with(&shop.stage, shop.served.port, Scripts::Off).await;
    let page = "<p>off</p><script>document.querySelector('p').innerText = 'on'</script>";
    tab.goto_elsewhere(&format!("data:text/html,{page}")).await;
    assert_eq!(tab.text().await, "off");
    tab.log_in(OPERATE).await;
    for page in &PAGES {
        tab.shows(page.path, page.shows).await;
    }
    tab.goto("/actions").await;
    tab.click_beside("orders", "Pause…").await;
    tab.fill("why", "without a script").await;
    tab.click("Pause").await;
    tab.sees(&["Paused outbox orders.", "without a script"]).await;
    let paused = "select count(*) from outflow.pause where stream = ''";
    assert_eq!(shop.stage.number(paused).await, 1);
    tab.click_beside("without a script", "Resume…").await;
    tab.click("Resume").await;
    tab.sees(&["Resumed outbox orders."]).await;
    assert_eq!(shop.stage.number(paused).await, 0);
}
