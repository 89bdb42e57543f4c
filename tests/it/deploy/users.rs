//! `deploy/redis/users.sh` on a Redis that others use already: nobody is locked out, and the users
//! survive a restart.

use std::path::Path;

use outflow_connect::redis::{Args, Failure, Reply};
use outflow_local::{Redis, eventually};
use secrecy::SecretString;

use super::install::path;
use crate::support::LIMIT;

async fn call(url: &str, command: &'static str, words: &[&str]) -> Result<Reply, Failure> {
    let redis =
        outflow_connect::redis::Redis::open(&SecretString::from(url), "test").expect("an address");
    let outcome = match redis.ready(LIMIT).await {
        Ok(()) => redis.call(command, words.iter().copied().collect::<Args>()).await,
        Err(failure) => Err(failure),
    };
    redis.close().await;
    outcome
}

fn run(arguments: &[&str], password: Option<&str>) -> (bool, String) {
    let mut command = std::process::Command::new(path("redis/users.sh"));
    command.args(arguments).env_remove("REDISCLI_AUTH");
    if let Some(password) = password {
        command.env("REDISCLI_AUTH", password);
    }
    let output = command.output().expect("the script");
    let said = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    (output.status.success(), said)
}

#[tokio::test]
async fn the_script_applies_the_users_and_locks_nobody_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let saved = dir.path().join("saved.acl");
    std::fs::write(&saved, "").expect("a file");
    let mut redis = Redis::start(dir.path(), &["--aclfile", &saved.display().to_string()])
        .await
        .expect("Redis");
    let (file, port) =
        (dir.path().join("users.acl").display().to_string(), redis.port().to_string());
    let text = std::fs::read_to_string(path("redis/users.acl")).expect("the file");
    std::fs::write(Path::new(&file), &text).expect("a file");
    let (ended_well, said) = run(&[&file, "-p", &port], None);
    assert!(!ended_well && said.contains("set your own first"), "{said}");
    std::fs::write(Path::new(&file), text.replace("change-me", "secret")).expect("a file");

    let (ended_well, said) = run(&[&file, "-p", &port], None);
    assert!(ended_well && said.contains("default: left as it is"), "{said}");
    let at = |user: &str| format!("redis://{user}127.0.0.1:{port}");
    for round in 0..2 {
        call(&at(""), "SET", &["theirs", "1"]).await.expect("another application goes on");
        call(&at("outflow:secret-outflow@"), "XADD", &["events.order", "*", "a", "b"])
            .await
            .expect("the relay's user");
        let refused =
            call(&at("monitor:secret-monitor@"), "XADD", &["events.order", "*", "a", "b"]).await;
        assert_eq!(
            refused.expect_err("a monitor writes nothing").code(),
            Some("NOPERM"),
            "round {round}"
        );
        redis.kill().await.expect("its end");
        redis.start_again().await.expect("a start");
    }

    let again = ["--close-default", &file, "-p", &port, "--user", "admin"];
    let (ended_well, said) = run(&again, Some("secret-admin"));
    assert!(ended_well && said.contains("user default: closed"), "{said}");
    // Not let in, it connects for ever: what it is told in vain is enough.
    let nobody = outflow_connect::redis::Redis::open(&SecretString::from(at("")), "test")
        .expect("an address");
    let closed = eventually(LIMIT, "NOAUTH", async || {
        let refused = nobody.call("PING", Args::default()).await.expect_err("nobody is let in");
        refused.to_string().contains("NOAUTH")
    });
    closed.await.expect("a refusal");
    nobody.close().await;
    let whole = call(&at("admin:secret-admin@"), "ACL", &["LIST"]).await.expect("the users");
    assert_eq!(whole.items().len(), 5, "{whole:?}");
}
