//! What `check` says of a replay of Redis's append-only file is what happens at a restart.

use std::path::Path;

use outflow_local::Redis;

use crate::support::{LIMIT, Stage, held, outbox};

const LOST: &str = "a restart with an append-only file loses";
const KEPT: &str = "the user default has the rights that a replay";
const UNKNOWN: &str = "cannot find out whether a restart keeps streams and journal";
const EVENTS: i64 = 100;

/// The rights of `default`, the harmless ones first.
const RIGHTS: [&str; 18] = [
    "off resetpass ~* &* +@all",
    "on >password ~* &* +@all",
    "on nopass ~* &* +@all",
    "off ~* +@all -exec",
    "off ~* +@all -multi -select -eval -evalsha",
    "off -@all (~* +@all)",
    "off ~events.* ~outflow:* +@write",
    "on nopass ~* +@all -eval",
    "off -@all",
    "off resetkeys +@all",
    "off ~* +@all -@write",
    "off ~* +@all -xadd",
    "off ~* +@all -hset",
    "off ~events.* +@all",
    "off %R~* +@all",
    "on nopass ~* -@all",
    "on nopass ~* +@all -multi -xadd",
    "on >password ~* +@all -@stream",
];

/// The shipped users, and what `default` may do.
fn write_users(file: &Path, rights: &str) {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/redis/users.acl");
    let shipped = std::fs::read_to_string(shipped).expect("the file").replace("change-me-", "");
    let others = shipped
        .lines()
        .filter(|line| !line.starts_with("user default "))
        .collect::<Vec<_>>()
        .join("\n");
    // One who may not ask.
    let silent = others.lines().find(|line| line.starts_with("user outflow ")).expect("a line");
    let silent = silent.replace("user outflow ", "user silent ").replace(" +acl|dryrun", "");
    std::fs::write(file, format!("user default {rights}\n{others}\n{silent}\n")).expect("a file");
}

async fn admin(redis: &Redis) -> outflow_connect::redis::Redis {
    let url = redis.url().replace("redis://", "redis://admin:admin@");
    let admin = outflow_connect::redis::Redis::open(&url.into(), "test").expect("an address");
    admin.ready(LIMIT).await.expect("a connection");
    admin
}

#[tokio::test]
async fn what_check_says_of_the_user_default_is_what_a_restart_does() {
    let stage = Stage::new(&outbox("")).await;
    let (dir, users) = (stage.path().join("other"), stage.path().join("users.acl"));
    std::fs::create_dir(&dir).expect("a directory");
    write_users(&users, RIGHTS[0]);
    let mut redis =
        Redis::start(&dir, &["--aclfile", &users.display().to_string()]).await.expect("Redis");
    let configure = |user: &str| {
        let url = redis.url().replace("redis://", &format!("redis://{user}:outflow@"));
        stage.configure_with(&url, &outbox(""));
    };
    configure("outflow");
    let insert = format!(
        "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
         select 'order', 'k' || n, 'T', '{{}}' from generate_series(1, {EVENTS}) n"
    );
    stage.sql(&insert).await;
    stage.once().await;
    let before = held(admin(&redis).await).await;
    assert_eq!(before.0, EVENTS);
    // Some versions replay with all rights.
    let needs_rights = !stage.asked(&["check"]).await.stdout.contains("needs no rights");
    let (mut kept, mut unknown) = (Vec::new(), Vec::new());
    for rights in RIGHTS {
        redis.kill().await.expect("its end");
        write_users(&users, rights);
        redis.start_again().await.expect("a start");
        let is_kept = held(admin(&redis).await).await == before;
        let configure = |user: &str| {
            let url = redis.url().replace("redis://", &format!("redis://{user}:outflow@"));
            stage.configure_with(&url, &outbox(""));
        };
        configure("outflow");
        let asked = stage.asked(&["check"]).await;
        let words = if is_kept && !needs_rights { "needs no rights" } else { KEPT };
        let (words, code) = if is_kept { (words, 0) } else { (LOST, 78) };
        assert!(asked.stdout.contains(words), "default {rights}, kept: {is_kept}: {asked:?}");
        assert_eq!(asked.code, Some(code), "default {rights}: {asked:?}");
        // Whoever may not ask says so, or tells the truth.
        configure("silent");
        let silent = stage.asked(&["check"]).await;
        if silent.stdout.contains(UNKNOWN) {
            assert!(
                silent.stdout.contains("ACL SETUSER silent +acl|dryrun"),
                "default {rights}: {silent:?}"
            );
            unknown.push(rights);
        } else {
            assert!(silent.stdout.contains(words), "default {rights}, kept: {is_kept}: {silent:?}");
        }
        if is_kept {
            kept.push(rights);
        }
    }
    if !needs_rights {
        assert_eq!((kept.len(), unknown.len()), (RIGHTS.len(), 0));
        return;
    }
    assert_eq!(kept, RIGHTS[..8]);
    let closed: Vec<&str> = RIGHTS
        .into_iter()
        .filter(|rights| !rights.contains("nopass") || rights.ends_with("-eval"))
        .collect();
    assert_eq!(unknown, closed, "who can log in as default without a password can ask as default");
}
