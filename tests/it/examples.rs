//! deploy/examples, as a reader would run them, against the real relay.

use std::fs;
use std::path::{Path, PathBuf};

use outflow_local::{Program, eventually, free_port};
use serde_json::json;

use crate::support::{LIMIT, Stage, outbox, python};

/// The environment of the `FastAPI` example, installed once for both tests.
fn fastapi() -> PathBuf {
    let requirements =
        fs::read_to_string(folder().join("requirements.txt")).expect("the requirements");
    python("fastapi", &requirements.lines().collect::<Vec<_>>())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples/fastapi")
}

/// The example's service, and the port that it listens on.
fn service(stage: &Stage, python: &Path) -> (Program, u16) {
    let (port, folder) = (free_port().expect("a port"), folder().display().to_string());
    let with_driver = stage.postgres.url().replacen("postgres://", "postgresql+psycopg://", 1);
    let args = ["service:app", "--app-dir", &folder, "--port", &port.to_string()];
    let env = [("DATABASE_URL", with_driver.as_str()), ("PYTHONDONTWRITEBYTECODE", "1")];
    (
        Program::start("service", &python.join("bin/uvicorn"), &args, &env, stage.path())
            .expect("the service"),
        port,
    )
}

/// Starts a consumer of the example, of this name.
fn consumers<'a>(
    stage: &Stage,
    python: &'a Path,
    more: &'a [(&'a str, &'a str)],
) -> impl Fn(&str, &str) -> Program + 'a {
    let (postgres, redis, dir) = (stage.postgres.url(), stage.redis.url(), stage.path().to_owned());
    let script = folder().join("consumer.py").display().to_string();
    move |log, name| {
        let own = [("DATABASE_URL", &*postgres), ("REDIS_URL", &redis), ("CONSUMER", name)];
        let env = [&own, more].concat();
        Program::start(log, &python.join("bin/python"), &[&script], &env, &dir)
            .expect("the consumer")
    }
}

#[tokio::test]
async fn fastapi_writes_to_the_outbox_and_redis_py_makes_each_effect_once() {
    let python = fastapi();
    let stage = Stage::new(&outbox("")).await;
    let _relay = stage.relay();
    let (service, port) = service(&stage, &python);
    let consumer = consumers(&stage, &python, &[]);
    let mut first = consumer("consumer", "one");

    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let base = format!("http://127.0.0.1:{port}");
    let ready = async || {
        let answer = http.get(format!("{base}/ready")).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    };
    let waited = eventually(LIMIT, "the service to be ready", ready).await;
    waited.unwrap_or_else(|error| panic!("{error}: {}", service.log_tail()));
    for (name, email, status) in [
        ("Ada", "ada@example.org", 201),
        ("Bob", "bob@example.org", 201),
        ("Eve", "ada@example.org", 409),
    ] {
        let customer = json!({ "name": name, "email": email });
        let answer =
            http.post(format!("{base}/customers")).json(&customer).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{name}: {}", service.log_tail());
    }
    let mails = "select count(*) from welcome_mail";
    let client = stage.client().await;
    let sent = async |count: i64| {
        client.query_one(mails, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) == count)
    };
    let waited = eventually(LIMIT, "two mails", async || sent(2).await).await;
    waited.unwrap_or_else(|error| panic!("{error}: {}", first.log_tail()));
    // The one that was rolled back left no event.
    assert_eq!(stage.length("events.customer").await, 2);

    // What was handled, but not acknowledged before a crash, comes again and has no effect again.
    first.kill();

    stage.command("XGROUP", &["SETID", "events.customer", "welcome", "0"]).await;
    stage
        .command(
            "XREADGROUP",
            &["GROUP", "welcome", "one", "COUNT", "1", "STREAMS", "events.customer", ">"],
        )
        .await;
    let customer = json!({ "name": "Eve", "email": "eve@example.org" });
    http.post(format!("{base}/customers")).json(&customer).send().await.expect("an answer");
    let mut second = consumer("consumer", "one");
    let waited = eventually(LIMIT, "the third mail", async || sent(3).await).await;
    waited.unwrap_or_else(|error| panic!("{error}: {}", second.log_tail()));
    let pending = async || {
        let pending = stage.command("XPENDING", &["events.customer", "welcome"]).await;
        pending.items()[0].int() == Some(0)
    };
    eventually(LIMIT, "everything to be acknowledged", pending).await.expect("in time");
    assert_eq!(stage.number(mails).await, 3, "none of them again");
    second.terminate();
    assert!(second.wait(LIMIT).await.expect("its end").success(), "{}", second.log_tail());
}

/// Restarts, entries that nobody understands, and a consumer that comes back under another name.
#[tokio::test]
async fn both_survive_restarts_of_both_servers_and_what_others_append() {
    let python = fastapi();
    let mut stage = Stage::new(&outbox("")).await;
    let _relay = stage.relay();
    let (service, port) = service(&stage, &python);
    let consumers = consumers(&stage, &python, &[("CLAIM_IDLE_MS", "1000")]);
    let consumer = |name: &str| consumers(name, name);
    let mut one = consumer("one");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("http://127.0.0.1:{port}/customers");
    let place = async |name: &str| {
        let customer = json!({ "name": name, "email": format!("{name}@example.org") });
        http.post(&url).json(&customer).send().await.map(|answer| answer.status().as_u16())
    };
    let placed = async |name: &str| {
        let waited =
            eventually(LIMIT, name, async || place(name).await.is_ok_and(|status| status == 201))
                .await;
        waited.unwrap_or_else(|error| panic!("{error}: {}", service.log_tail()));
    };
    placed("ada").await;
    assert_eq!(place("e\u{0}ve").await.expect("an answer"), 422);
    // Texts that are none, numbers that are none, and what no index takes.
    let long = "x".repeat(9_000);
    for name in [r#""\ud800""#, r#""e\udc00ve""#, "NaN", "1e999", &format!("{long:?}")] {
        for body in [
            format!(r#"{{"name":{name},"email":"e"}}"#),
            format!(r#"{{"name":"n","email":{name}}}"#),
        ] {
            let answer = http
                .post(&url)
                .header("content-type", "application/json")
                .body(body.clone())
                .send()
                .await;
            assert_eq!(
                answer.expect("an answer").status().as_u16(),
                422,
                "{}",
                &body[..body.len().min(60)]
            );
        }
    }
    let mails = async |stage: &Stage, count: i64, who: &Program| {
        let client = stage.client().await;
        let all = async || {
            let row = client.query_one("select count(*) from welcome_mail", &[]).await;
            row.is_ok_and(|row| row.get::<_, i64>(0) == count)
        };
        eventually(LIMIT, "the mails", all)
            .await
            .unwrap_or_else(|error| panic!("{error}: {}", who.log_tail()));
    };
    mails(&stage, 1, &one).await;

    stage.postgres.stop_fast().await.expect("a stop");
    stage.postgres.start_again().await.expect("a start");
    // The first request after it must be answered as any other.
    assert_eq!(place("bob").await.expect("an answer"), 201, "{}", service.log_tail());
    mails(&stage, 2, &one).await;

    // Of somebody else: no type, no JSON, no UUID, bytes that are no text.
    for fields in [
        &["hello", "world"][..],
        &["type", "CustomerCreated", "id", "x", "payload", "no JSON"],
        &["type", "CustomerCreated", "id", "no-uuid", "payload", r#"{"name":"n","email":"e"}"#],
        &[
            "type",
            "CustomerCreated",
            "id",
            "00000000-0000-0000-0000-000000000001",
            "payload",
            r#"{"name":"n","email":{}}"#,
        ],
    ] {
        stage.command("XADD", &[&["events.customer", "*"], fields].concat()).await;
    }
    placed("cleo").await;
    mails(&stage, 3, &one).await;
    let buried = async || stage.length("events.customer.dead").await == 4;
    eventually(LIMIT, "four dead letters", buried)
        .await
        .unwrap_or_else(|error| panic!("{error}: {}", one.log_tail()));

    // What one had in hand when it was lost is taken over by two.
    one.kill();
    placed("dan").await;
    stage.reaches("events.customer", 8).await;
    stage
        .command("XREADGROUP", &["GROUP", "welcome", "one", "STREAMS", "events.customer", ">"])
        .await;
    let mut two = consumer("two");
    mails(&stage, 4, &two).await;

    // A restart of Redis that keeps everything, and one that goes back to what was saved: nothing
    // is mailed twice.
    stage.command("SAVE", &[]).await;
    stage.redis.stop().await.expect("a stop");
    stage.redis.start_again().await.expect("a start");
    placed("eve").await;
    mails(&stage, 5, &two).await;
    stage.redis.kill().await.expect("a kill");
    stage.redis.start_again().await.expect("a start");
    placed("finn").await;
    mails(&stage, 6, &two).await;
    two.terminate();
    assert!(two.wait(LIMIT).await.expect("its end").success(), "{}", two.log_tail());
}
