//! The roles and users suffice for everything that the programs do, and for little else.

use outflow_connect::redis::{Args, Failure, Reply};
use reqwest::Client;
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;

use super::install::Install;
use crate::support::LIMIT;

/// What servers say of a missing privilege: Postgres, Redis, and Redis of a script's command and
/// key.
const REFUSALS: [&str; 5] = [
    "permission denied",
    "NOPERM",
    "ACL failure in script",
    "can't run this command",
    "can't access at least one of the keys",
];

#[tokio::test]
async fn the_whole_chain_runs_under_them() {
    let install = Install::new().await;
    let (mut relay, api, consumer) =
        tokio::join!(install.relay("relay"), install.order_api(), install.order_consumer());

    // Two orders, one of them cancelled: three events, through all three programs.
    let http = Client::new();
    let order = |sku: &str| {
        json!({ "customer_id": "c-1",
        "items": [{ "sku": sku, "quantity": 2, "unit_price": "1.50" }] })
    };
    let mut placed = Vec::new();
    for sku in ["tea", "milk"] {
        let answer =
            http.post(format!("http://{}/orders", api.address)).json(&order(sku)).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status().as_u16(), 201, "{}", api.program.log_tail());
        let body: Value = answer.json().await.expect("JSON");
        placed.push(body["order_id"].as_str().expect("an id").to_owned());
    }
    let cancel = format!("http://{}/orders/{}/cancel", api.address, placed[1]);
    assert!(http.post(cancel).send().await.expect("an answer").status().is_success());
    install.until("(select count(*) from orders.inbox) = 3").await;
    install.until("(select count(*) from orders.reservations where state = 'released') = 1").await;
    install.until("(select reserved from orders.inventory where sku = 'tea') = 2").await;
    install.until("(select reserved from orders.inventory where sku = 'milk') = 0").await;

    // The relay's dead letters, and the consumer's.
    let nameless = "insert into public.outbox (aggregate_type, aggregate_id, event_type, payload) \
        values ('', 'k', 'T', '{}')";
    install.sql("postgres", nameless).await;
    install.until("(select count(*) from outflow.dead_letter) = 1").await;
    let admin = install.redis("admin").await;
    admin.call("XADD", ["events.order", "*", "what", "is this"].into()).await.expect("an entry");
    let buried = outflow_local::eventually(LIMIT, "a dead letter of the consumer", async || {
        let length = admin.call("XLEN", ["events.order.dead"].into()).await;
        length.is_ok_and(|reply| reply.int() == Some(1))
    });
    buried.await.unwrap_or_else(|error| panic!("{error}\n{}", consumer.program.log_tail()));

    // Which the consumer's own user may discard, and must leave a trace of.
    let mut discard = tokio::process::Command::new(env!("CARGO_BIN_EXE_outflow"));
    discard.args(["stream", "dead", "discard", "events.order", "--all", "--yes"]);
    discard.env("OUTFLOW_REDIS__URL", install.redis_url("consumer"));
    let output = discard.stdin(std::process::Stdio::null()).output().await.expect("a run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let noted = admin.call("XLEN", ["events.order.dead.audit"].into()).await.expect("a length");
    assert_eq!(noted.int(), Some(2));

    // Another relay recovers what a crash left.
    relay.program.kill();
    let mut second = install.relay("second").await;
    // Several batches, so that each drops the ones before it from the journal.
    let payments = "insert into public.outbox (aggregate_type, aggregate_id, event_type, payload) \
        select 'payment', 'k' || n % 7, 'T', '{}' from generate_series(1, 5000) n";
    install.sql("postgres", payments).await;
    install.until("not exists (select from public.outbox)").await;
    second.program.terminate();
    assert!(
        second.program.wait(LIMIT).await.expect("an end").success(),
        "{}",
        second.program.log_tail()
    );
    let payments = admin.call("XLEN", ["events.payment"].into()).await.expect("a length");
    assert_eq!(payments.int(), Some(5_000));
    let journals = admin.call("KEYS", ["outflow:journal:*"].into()).await.expect("keys");
    // Beside it is the list of the streams.
    let names = journals.items().iter().filter_map(Reply::string);
    let [journal] = &names.filter(|name| !name.contains(".streams")).collect::<Vec<_>>()[..] else {
        panic!("not one journal: {journals:?}");
    };
    let fields =
        format!("{:?}", admin.call("HKEYS", [journal.as_str()].into()).await.expect("fields"));
    assert!(
        fields.contains("generation") && !fields.contains("batch:"),
        "a stop leaves no batch in the journal: {fields}"
    );
    for program in [&relay.program, &second.program, &api.program, &consumer.program] {
        let log = program.log();
        for refusal in REFUSALS {
            assert!(!log.contains(refusal), "{}: {log}", program.name());
        }
    }
}

/// A recovery ends the sessions of a frozen relay, which runs under the same role.
#[tokio::test]
async fn a_relay_may_terminate_another_ones_session() {
    let install = Install::new().await;
    let (frozen, healthy) =
        (install.client("outflow_relay").await, install.client("outflow_relay").await);
    let pid: i32 = frozen.query_one("select pg_backend_pid()", &[]).await.expect("a row").get(0);
    let ended = healthy.query_one("select pg_terminate_backend($1)", &[&pid]).await.expect("a row");
    assert!(ended.get::<_, bool>(0));
}

/// What `status` and `dead` need.
#[tokio::test]
async fn an_operator_may_look_and_put_back() {
    let install = Install::new().await;
    let allowed = [
        "select from public.outbox",
        "select from outflow.outbox natural join outflow.member",
        "select from outflow.dead_letter",
        "insert into outflow.pause (relation, why, os_user, host) select relation, 'x', 'x', 'x' \
         from outflow.outbox",
        "update outflow.pause set until = now()",
        "delete from outflow.pause where why = 'x'",
        "insert into outflow.audit (action, outbox, letters, filter, os_user, host, via, operator) \
         values ('pause', 'x', 0, '{}', 'x', 'x', 'console', 'anna')",
        "with gone as (delete from outflow.dead_letter returning *) \
         insert into public.outbox (event_id, aggregate_type, aggregate_id, event_type, payload) \
         select event_id::uuid, 'order', key, type, convert_from(payload, 'utf8')::jsonb from gone",
    ];
    for statement in allowed {
        install.sql("outflow_operator", statement).await;
    }
}

#[tokio::test]
async fn no_role_may_do_more_in_postgres() {
    let install = Install::new().await;
    let refused = [
        (
            "outflow_relay",
            "insert into public.outbox (aggregate_type, aggregate_id, event_type, payload) values \
                ('a', 'b', 'c', '{}')",
        ),
        ("outflow_relay", "update public.outbox set payload = '{}'"),
        ("outflow_relay", "truncate public.outbox"),
        ("outflow_relay", "alter table public.outbox add column x int"),
        ("outflow_relay", "create table public.x ()"),
        ("outflow_relay", "create table outflow.x ()"),
        ("outflow_relay", "create schema x"),
        ("outflow_relay", "delete from outflow.outbox"),
        ("outflow_relay", "insert into outflow.outbox (relation, name) values (0, 'x')"),
        ("outflow_relay", "update outflow.member set host = 'x'"),
        ("outflow_relay", "select payload from outflow.dead_letter"),
        ("outflow_relay", "select key, headers, reason from outflow.dead_letter"),
        ("outflow_relay", "delete from outflow.dead_letter"),
        ("outflow_relay", "delete from outflow.pause"),
        (
            "outflow_relay",
            "insert into outflow.pause (relation, why, os_user, host) values (0, 'x', 'x', 'x')",
        ),
        ("outflow_relay", "create table orders.x ()"),
        ("outflow_operator", "delete from public.outbox"),
        ("outflow_operator", "update outflow.outbox set generation = 0"),
        ("outflow_operator", "insert into outflow.dead_letter (outbox) values ('x')"),
        ("outflow_operator", "delete from outflow.audit"),
        (
            "outflow_operator",
            "insert into outflow.audit (action, outbox, letters, filter, os_user, host, role) \
                values ('pause', 'x', 0, '{}', 'x', 'x', 'somebody')",
        ),
        (
            "outflow_operator",
            "insert into outflow.audit (action, outbox, letters, filter, os_user, host, at) \
                values ('pause', 'x', 0, '{}', 'x', 'x', now() - interval '1 day')",
        ),
        ("order_api", "select from public.outbox"),
        ("order_api", "delete from public.outbox"),
        ("order_api", "update public.outbox set payload = '{}'"),
        ("order_api", "insert into public.outbox (id) overriding system value values (1)"),
        (
            "order_api",
            "insert into public.outbox (aggregate_type, aggregate_id, event_type, payload) values \
                ('a', 'b', 'c', '{}') returning event_id",
        ),
        ("order_api", "select from outflow.outbox"),
        ("order_api", "select from outflow.pause"),
        ("order_api", "create table public.x ()"),
        ("order_api", "create schema x"),
        ("order_consumer", "create schema x"),
        ("order_consumer", "select from public.outbox"),
        ("order_consumer", "update public.outbox set payload = '{}'"),
        ("order_consumer", "select from outflow.dead_letter"),
        ("outflow_migrator", "create role x"),
        ("outflow_migrator", "create database x"),
        ("outflow_migrator", "create table orders.x ()"),
    ];
    let version = install.client("outflow_migrator").await;
    let version = version.query_one("show server_version_num", &[]).await.expect("a version");
    // Before 15 everybody may create tables in schema public.
    let is_open = version.get::<_, &str>(0).parse::<u32>().expect("a number") < 150_000;
    for (role, statement) in refused {
        if is_open && statement == "create table public.x ()" {
            continue;
        }
        let Err(error) = install.client(role).await.batch_execute(statement).await else {
            panic!("{role} may: {statement}");
        };
        assert_eq!(
            error.code(),
            Some(&SqlState::INSUFFICIENT_PRIVILEGE),
            "{role}: {statement}: {error:?}"
        );
    }
}

#[tokio::test]
async fn no_user_may_do_more_in_redis() {
    let install = Install::new().await;
    let refused: [(&str, &'static str, &[&str]); 17] = [
        ("outflow", "XADD", &["orders", "*", "a", "b"]),
        ("outflow", "XREAD", &["STREAMS", "events.order", "0"]),
        ("outflow", "XTRIM", &["events.order", "MAXLEN", "0"]),
        ("outflow", "DEL", &["events.order"]),
        ("outflow", "HGETALL", &["another"]),
        ("outflow", "KEYS", &["*"]),
        ("outflow", "CONFIG", &["GET", "*"]),
        ("outflow", "FLUSHALL", &[]),
        ("outflow", "EVAL", &["return redis.call('DEL', 'events.order')", "0"]),
        ("outflow", "EVAL", &["return redis.call('XADD', 'orders', '*', 'a', 'b')", "0"]),
        ("consumer", "XADD", &["events.payment", "*", "a", "b"]),
        ("consumer", "HGETALL", &["outflow:journal:{x}"]),
        ("consumer", "XTRIM", &["events.order", "MAXLEN", "0"]),
        ("consumer", "XGROUP", &["DESTROY", "events.order", "inventory"]),
        ("monitor", "XADD", &["events.order", "*", "a", "b"]),
        ("monitor", "XRANGE", &["events.order", "-", "+"]),
        ("monitor", "XINFO", &["STREAM", "outflow:journal:{x}"]),
    ];
    for (user, command, words) in refused {
        let redis = install.redis(user).await;
        let mut args = Args::with_capacity(words.len());
        for word in words {
            args.text(*word);
        }
        match redis.call(command, args).await {
            Err(Failure::Refused(message)) => {
                assert!(
                    REFUSALS.iter().any(|word| message.contains(word)),
                    "{user}: {command} {words:?}: {message}"
                );
            }
            other => panic!("{user}: {command} {words:?}: {other:?}"),
        }
    }
    // Whoever has no password may not even say PING.
    assert_eq!(install.anonymous_ping().await, "-NOAUTH Authentication required.");
    let admin = install.redis("admin").await;
    // What KEDA asks.
    let monitor = install.redis("monitor").await;
    admin
        .call("XGROUP", ["CREATE", "events.order", "inventory", "0", "MKSTREAM"].into())
        .await
        .expect("a group");
    monitor.call("XINFO", ["GROUPS", "events.order"].into()).await.expect("the groups");
    // What `outflow stream show` asks.
    let mut show = tokio::process::Command::new(env!("CARGO_BIN_EXE_outflow"));
    show.args(["stream", "show", "events.order", "--json"]);
    show.env("OUTFLOW_REDIS__URL", install.redis_url("monitor"));
    let shown = show.output().await.expect("a run");
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(
        (&shown["problems"], &shown["groups"][0]["group"]),
        (&json!([]), &json!("inventory"))
    );
}
