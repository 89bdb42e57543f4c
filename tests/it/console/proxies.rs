//! Users whom a reverse proxy has authenticated.

use reqwest::StatusCode;

use super::{Browser, console};
use crate::support::{Stage, outbox};

const HEADER: &str = "proxy_header = \"X-Forwarded-User\"\nproxy_role = \"operate\"\n";

#[tokio::test]
async fn a_listed_proxy_names_the_user() {
    let stage = Stage::new(&outbox("")).await;
    let from = format!("{HEADER}proxy_from = [\"127.0.0.0/8\"]\nhosts = [\"console.example.com\"]");
    let served = console(&stage, &from).await;
    let browser = Browser::of(served.port);
    let get = |name: &str| browser.ask("/audit").header("x-forwarded-user", name);
    let page = browser.send(get("dora@example.com")).await;
    assert_eq!(page.status, StatusCode::OK);
    page.has(&["dora@example.com", "operate"]);
    assert!(!page.text.contains("Log out"), "the proxy logs in and out");
    let csrf = browser.send(get("dora@example.com")).await;
    let pause = browser.send(browser.ask("/").header("x-forwarded-user", "dora@example.com")).await;
    assert_eq!((csrf.status, pause.status), (StatusCode::OK, StatusCode::OK));
    let two = get("dora").header("x-forwarded-user", "eve");
    assert_eq!(browser.send(two).await.status, StatusCode::SEE_OTHER, "a client's own passed");
    let list = browser.send(get("dora, eve")).await;
    assert_eq!(list.status, StatusCode::SEE_OTHER, "the proxy has added to a client's own");
    assert_eq!(browser.get("/audit").await.status, StatusCode::SEE_OTHER, "nobody was named");
    // Behind TLS, as the proxy says, a cookie never travels without.
    let login = browser
        .form("/login", &[("token", super::READ)])
        .header("x-forwarded-proto", "https")
        .header("origin", "https://console.example.com");
    let answer = browser.send(login).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-") && cookie.ends_with("; Secure"), "{cookie}");
}

#[tokio::test]
async fn a_stranger_names_nobody() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, &format!("{HEADER}proxy_from = [\"10.9.8.7\"]")).await;
    let browser = Browser::of(served.port);
    let answer = browser.send(browser.ask("/audit").header("x-forwarded-user", "eve")).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    // Nor gets away from the limit on log-ins by naming other addresses.
    let wrong = |n: u8| {
        let login = browser.form("/login", &[("token", "wrong-wrong-wrong-wrong")]);
        login.header("x-forwarded-for", format!("192.0.2.{n}"))
    };
    for n in 0..5 {
        assert_eq!(browser.send(wrong(n)).await.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(browser.send(wrong(9)).await.status, StatusCode::TOO_MANY_REQUESTS);
}

/// Behind a proxy everybody has its address: wrong tokens count for whom the proxy was asked by.
#[tokio::test]
async fn wrong_tokens_keep_out_whoever_tries_them_and_nobody_else() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "proxy_from = [\"127.0.0.1\"]").await;
    let browser = Browser::of(served.port);
    let login = |token: &str, from: &str| {
        let login = browser.form("/login", &[("token", token)]);
        login.header("x-forwarded-for", format!("203.0.113.9, {from}"))
    };
    for _ in 0..5 {
        let answer = browser.send(login("wrong-wrong-wrong-wrong", "192.0.2.1")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
    let answer = browser.send(login("wrong-wrong-wrong-wrong", "192.0.2.1")).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    for _ in 0..8 {
        let answer = browser.send(login(super::READ, "192.0.2.2")).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "right ones do not count");
    }
}

/// A proxy of this machine stands in for anybody.
#[tokio::test]
async fn through_a_listed_proxy_nobody_is_of_this_machine() {
    let stage = Stage::new(&outbox("")).await;
    let more = "anonymous = \"read\"\nproxy_from = [\"127.0.0.1\"]";
    let served = console(&stage, more).await;
    let answer = Browser::of(served.port).get("/audit").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn everybody_of_this_machine_may_look_if_the_configuration_says_so() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "anonymous = \"read\"").await;
    let browser = Browser::of(served.port);
    let page = browser.get("/audit").await;
    page.has(&["anonymous", "read"]);
    // Whom a proxy of this machine stands in for is somebody else.
    let from_afar = browser.ask("/audit").header("x-forwarded-for", "127.0.0.1");
    assert_eq!(browser.send(from_afar).await.status, StatusCode::SEE_OTHER);
    let answer = browser.post("/actions/pause", &[]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}
