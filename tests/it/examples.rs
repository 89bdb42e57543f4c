//! deploy/examples, as a reader would run them, against the real relay.

use std::fs;
use std::path::Path;

use outflow::local::{Program, eventually, free_port};
use serde_json::json;

use crate::support::{LIMIT, Stage, outbox, python_environment};

#[expect(clippy::print_stderr, reason = "that it was left out must show")]
#[tokio::test]
async fn fastapi_writes_to_the_outbox_and_redis_py_makes_each_effect_once() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples/fastapi");
    let requirements = fs::read_to_string(folder.join("requirements.txt")).expect("the requirements");
    let packages: Vec<&str> = requirements.lines().collect();
    let Some(python) = python_environment("fastapi", &packages) else {
        eprintln!(
            "LEFT OUT: no Python packages can be installed here (python3 -m venv, pip): deploy/examples/fastapi did not run"
        );
        return;
    };
    let stage = Stage::new(&outbox("")).await;
    let _relay = stage.relay();
    let (postgres, redis) = (stage.postgres.url(), stage.redis.url());
    let with_driver = postgres.replacen("postgres://", "postgresql+psycopg://", 1);
    let folder = folder.to_str().expect("a path in UTF-8");

    let port = free_port().expect("a port").to_string();
    let args = ["service:app", "--app-dir", folder, "--port", &port];
    let uvicorn = python.join("bin/uvicorn");
    let env = [("DATABASE_URL", with_driver.as_str()), ("PYTHONDONTWRITEBYTECODE", "1")];
    let service = Program::start("service", &uvicorn, &args, &env, stage.path()).expect("the service");
    let consumer = || {
        let script = format!("{folder}/consumer.py");
        let env = [("DATABASE_URL", postgres.as_str()), ("REDIS_URL", redis.as_str()), ("CONSUMER", "one")];
        Program::start("consumer", &python.join("bin/python"), &[&script], &env, stage.path()).expect("the consumer")
    };
    let mut first = consumer();

    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let base = format!("http://127.0.0.1:{port}");
    let ready = async || {
        let answer = http.get(format!("{base}/ready")).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    };
    let waited = eventually(LIMIT, "the service to be ready", ready).await;
    waited.unwrap_or_else(|error| panic!("{error}: {}", service.log_tail()));
    for (name, email, status) in
        [("Ada", "ada@example.org", 201), ("Bob", "bob@example.org", 201), ("Eve", "ada@example.org", 409)]
    {
        let customer = json!({ "name": name, "email": email });
        let answer = http.post(format!("{base}/customers")).json(&customer).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{name}: {}", service.log_tail());
    }
    let mails = "select count(*) from welcome_mail";
    let client = stage.client().await;
    let sent = async |count: i64| client.query_one(mails, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) == count);
    let waited = eventually(LIMIT, "two mails", async || sent(2).await).await;
    waited.unwrap_or_else(|error| panic!("{error}: {}", first.log_tail()));
    // The one that was rolled back left no event.
    assert_eq!(stage.length("events.customer").await, 2);

    // What was handled, but not acknowledged before a crash, comes again and has no effect again.
    first.kill();

    stage.command("XGROUP", &["SETID", "events.customer", "welcome", "0"]).await;
    stage.command("XREADGROUP", &["GROUP", "welcome", "one", "COUNT", "1", "STREAMS", "events.customer", ">"]).await;
    let customer = json!({ "name": "Eve", "email": "eve@example.org" });
    http.post(format!("{base}/customers")).json(&customer).send().await.expect("an answer");
    let mut second = consumer();
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
