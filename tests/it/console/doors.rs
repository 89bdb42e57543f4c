//! Requests that another site makes: forged forms, pages whose own name points here, links.

use reqwest::StatusCode;

use super::{Browser, OPERATE, READ, console};
use crate::support::{Stage, outbox};

#[tokio::test]
async fn a_forged_form_does_nothing() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, OPERATE).await;
    let other = Browser::with(served.port, READ).await;
    let (csrf, others) = (browser.get("/audit").await.csrf(), other.get("/audit").await.csrf());
    let longer = format!("{csrf}0");
    for forged in ["", "x", &others, &longer] {
        let answer = browser.post("/nowhere", &[("csrf", forged)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{forged:?}");
        answer.has(&["nothing was done"]);
    }
    let own = format!("http://127.0.0.1:{}", served.port);
    let table = [
        (Some("https://evil.example"), None, StatusCode::FORBIDDEN),
        (Some("http://127.0.0.1:1"), None, StatusCode::FORBIDDEN),
        (Some("null"), None, StatusCode::FORBIDDEN),
        (None, Some("cross-site"), StatusCode::FORBIDDEN),
        (Some(own.as_str()), Some("same-site"), StatusCode::FORBIDDEN),
        (Some(own.as_str()), Some("same-origin"), StatusCode::NOT_FOUND),
        (None, None, StatusCode::NOT_FOUND),
    ];
    for (origin, site, expected) in table {
        // Also with the right token: it may have leaked.
        let mut request = browser.form("/nowhere", &[("csrf", &csrf)]);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        assert_eq!(browser.send(request).await.status, expected, "{origin:?} {site:?}");
    }
    // Nobody can be logged in as somebody else.
    let login = browser.form("/login", &[("token", OPERATE)]);
    let answer = browser.send(login.header("origin", "https://evil.example")).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.header("set-cookie").is_empty());
}

#[tokio::test]
async fn a_name_that_points_here_is_not_answered() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "hosts = [\"Console.example.com\"]\nanonymous = \"read\"").await;
    let browser = Browser::of(served.port);
    let table = [
        ("evil.example", StatusCode::MISDIRECTED_REQUEST),
        ("127.0.0.1.evil.example", StatusCode::MISDIRECTED_REQUEST),
        ("console.example.com", StatusCode::OK),
        ("localhost:1", StatusCode::OK),
        ("[::1]:9465", StatusCode::OK),
    ];
    for (host, expected) in table {
        for path in ["/audit", "/login", "/live"] {
            let expected =
                if path == "/live" && expected.is_success() { continue } else { expected };
            let answer = browser.send(browser.ask(path).header("host", host)).await;
            assert_eq!(answer.status, expected, "{host} {path}");
            assert!(expected.is_success() || answer.text.contains("console.hosts"));
        }
    }
}

/// A strict cookie is not sent with what a link elsewhere begins: the page asks again by itself.
#[tokio::test]
async fn a_link_elsewhere_leads_in() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::of(served.port);
    let link = browser.ask("/audit").header("sec-fetch-site", "cross-site");
    let answer = browser.send(link.header("sec-fetch-dest", "document")).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.has(&["http-equiv=\"refresh\""]);
    let answer = browser.send(browser.ask("/audit").header("sec-fetch-site", "same-origin")).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "once, and no circle");
}

#[tokio::test]
async fn every_answer_forbids_what_no_page_needs() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::with(served.port, OPERATE).await;
    let overview = browser.get("/").await;
    let mut paths = vec!["/", "/streams", "/find", "/dead-letters", "/actions", "/check", "/audit"];
    paths.extend(["/login", "/nowhere", "/assets/nothing"]);
    let assets = overview.text.split('"').filter(|text| text.starts_with("/assets/"));
    let assets: Vec<&str> = assets.collect();
    assert!(assets.len() >= 6, "{assets:?}");
    paths.extend(&assets);
    for path in &paths {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        let is_asset = assets.contains(path);
        let expected = [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("x-frame-options", "DENY"),
            (
                "cache-control",
                if is_asset { "public, max-age=31536000, immutable" } else { "no-store" },
            ),
        ];
        for (name, value) in expected {
            assert_eq!(answer.header(name), value, "{path}: {name}");
        }
        if is_asset {
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            continue;
        }
        for inline in ["<style", " style=", " onclick=", "javascript:", "http://", "https://"] {
            assert!(!answer.text.contains(inline), "{path} has {inline}");
        }
        assert_eq!(
            answer.text.matches("<script").count(),
            answer.text.matches("<script src=\"/assets/").count()
        );
    }
}
