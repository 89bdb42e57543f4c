//! Logging in and out, roles, sessions.

use outflow_local::eventually;
use reqwest::StatusCode;

use super::{Browser, OPERATE, READ, console, write_token};
use crate::support::{LIMIT, Stage, outbox};

#[tokio::test]
async fn whoever_has_a_token_gets_in_until_they_leave() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let browser = Browser::of(served.port);
    let away = browser.get("/audit?before=7").await;
    assert_eq!(
        (away.status, away.location()),
        (StatusCode::SEE_OTHER, "/login?next=%2Faudit%3Fbefore%3D7")
    );
    let page = browser.get(away.location()).await;
    page.has(&["type=\"password\"", "value=\"/audit?before=7\""]);
    for wrong in ["", "operate", "operate-operate-operatE", READ.trim_end_matches('d')] {
        let answer = browser.log_in(wrong).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{wrong:?}");
        assert!(answer.header("set-cookie").is_empty(), "{answer:?}");
        assert!(wrong.is_empty() || !answer.text.contains(wrong), "{}", answer.text);
    }
    assert!(!served.program.log().contains(OPERATE));
    let within = [("token", OPERATE), ("next", "/audit?before=7")];
    let answer = browser.post("/login", &within).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/audit?before=7"));
    let cookie = answer.header("set-cookie");
    for word in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    let page = browser.get("/audit").await;
    page.has(&["anna", "operate", "Log out"]);
    let kept = browser.cookie.lock().clone().expect("a cookie");
    let answer = browser.post("/logout", &[("csrf", &page.csrf())]).await;
    assert_eq!(answer.location(), "/login");
    assert_eq!(*browser.cookie.lock(), None);
    let again = browser.send(browser.ask("/audit").header("cookie", kept)).await;
    assert_eq!(again.status, StatusCode::SEE_OTHER, "the id is worth nothing any more");
}

#[tokio::test]
async fn to_another_site_nobody_is_sent() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    for next in ["https://evil.example", "//evil.example", "/\\evil.example"] {
        let browser = Browser::of(served.port);
        let answer = browser.post("/login", &[("token", OPERATE), ("next", next)]).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/"), "{next}");
    }
}

/// In one place for every page: also for addresses that there are not.
#[tokio::test]
async fn the_role_read_looks_and_cannot_act() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let (anna, ben) =
        (Browser::with(served.port, OPERATE).await, Browser::with(served.port, READ).await);
    let page = ben.get("/audit").await;
    assert_eq!(page.status, StatusCode::OK);
    for path in ["/actions/pause", "/dead-letters", "/", "/nowhere"] {
        let answer = ben.post(path, &[("csrf", &page.csrf())]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        answer.has(&["Your role is read"]);
    }
    let csrf = anna.get("/audit").await.csrf();
    let answer = anna.post("/nowhere", &[("csrf", &csrf)]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "she gets past the guard");
    for method in [reqwest::Method::PUT, reqwest::Method::DELETE, reqwest::Method::PATCH] {
        let request = anna.http.request(method.clone(), format!("{}/audit", anna.base));
        let answer = anna.send(request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    let answer = ben.post("/logout", &[("csrf", &page.csrf())]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "leaving is for everybody");
}

#[tokio::test]
async fn a_session_ends_by_itself() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "session_max = \"1s\"").await;
    let browser = Browser::with(served.port, OPERATE).await;
    let csrf = browser.get("/audit").await.csrf();
    eventually(LIMIT, "the end of the session", async || {
        browser.get("/audit").await.status == StatusCode::SEE_OTHER
    })
    .await
    .expect("its end");
    let answer = browser.post("/actions/pause", &[("csrf", &csrf)]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    answer.has(&["Nothing was done"]);
}

#[tokio::test]
async fn a_new_token_in_the_file_ends_the_sessions_of_the_old_one() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let (anna, ben) =
        (Browser::with(served.port, OPERATE).await, Browser::with(served.port, READ).await);
    write_token(&stage, "anna", "another-another-another");
    eventually(LIMIT, "the end of her session", async || {
        anna.get("/audit").await.status == StatusCode::SEE_OTHER
    })
    .await
    .expect("its end");
    assert_eq!(ben.get("/audit").await.status, StatusCode::OK, "his is another token");
    assert_eq!(anna.log_in(OPERATE).await.status, StatusCode::FORBIDDEN);
    assert_eq!(anna.log_in("another-another-another").await.status, StatusCode::SEE_OTHER);
    // A file that is gone is a token that is gone.
    std::fs::remove_file(stage.path().join("ben")).expect("a file");
    eventually(LIMIT, "the end of his session", async || {
        ben.get("/audit").await.status == StatusCode::SEE_OTHER
    })
    .await
    .expect("its end");
    eventually(LIMIT, "a line of it", async || served.program.log().contains("nobody can use it"))
        .await
        .expect("a line");
    let log = served.program.log();
    assert!(!log.contains("another-another"), "{log}");
}

#[tokio::test]
async fn after_a_few_wrong_tokens_one_has_to_wait() {
    let stage = Stage::new(&outbox("")).await;
    let served = console(&stage, "").await;
    let known = Browser::with(served.port, OPERATE).await;
    let browser = Browser::of(served.port);
    for _ in 0..5 {
        assert_eq!(browser.log_in("wrong-wrong-wrong-wrong").await.status, StatusCode::FORBIDDEN);
    }
    for token in ["wrong-wrong-wrong-wrong", OPERATE] {
        let answer = browser.log_in(token).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{token}");
        let seconds: u32 = answer.header("retry-after").parse().expect("seconds");
        assert!((1..=10).contains(&seconds), "{seconds}");
    }
    assert_eq!(known.get("/audit").await.status, StatusCode::OK, "who is in stays in");
}
