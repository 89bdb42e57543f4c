//! Clients that are slow, or many, at the listeners of all programs: nobody else is kept out, and a
//! stop ends well.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use outflow_local::{Program, eventually, free_port};
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::{LIMIT, Stage, outbox, program};

/// More than the programs have file descriptors.
const CONNECTIONS: usize = 140;
const HALF_A_HEAD: &[u8] = b"POST /orders HTTP/1.1\r\nHost: h\r\nContent-Ty";
const ORDER: &str = r#"{"customer_id":"c","items":[{"sku":"a","quantity":1,"unit_price":1}]}"#;

/// One of the programs, with few file descriptors.
struct Served {
    program: Program,
    listen: String,
    http: reqwest::Client,
}

impl Served {
    async fn start(stage: &Stage, name: &str, more: &[&str]) -> Self {
        let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
        let (postgres, redis) = (stage.postgres.url(), stage.redis.url());
        let config = stage.path().join("outflow.toml").display().to_string();
        let (binary, args): (&str, &[&str]) = match name {
            "relay" => (env!("CARGO_BIN_EXE_outflow"), &["run", "--config", &config]),
            "order-api" => {
                (program("order-api"), &["--listen", &listen, "--postgres-url", &postgres])
            }
            _ => (
                program("order-consumer"),
                &[
                    "--listen",
                    &listen,
                    "--postgres-url",
                    &postgres,
                    "--redis-url",
                    &redis,
                    "--consumer",
                    "one",
                ],
            ),
        };
        let args = [&["--nofile=128", binary], args, more].concat();
        let envs = [("OUTFLOW_ADMIN__LISTEN", listen.as_str())];
        let program =
            Program::start(name, Path::new("prlimit"), &args, &envs, stage.path()).expect(name);
        // Each request on a connection of its own, which has to get in: one that is kept may be
        // closed while the next is sent.
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).pool_max_idle_per_host(0);
        let http = http.build().expect("a client");
        let served = Self { program, listen, http };
        eventually(LIMIT, name, async || served.is("/readyz", StatusCode::OK).await)
            .await
            .expect("in time");
        served
    }

    async fn is(&self, path: &str, status: StatusCode) -> bool {
        let answer = self.http.get(format!("http://{}{path}", self.listen)).send().await;
        answer.is_ok_and(|answer| answer.status() == status)
    }

    async fn order(&self) -> StatusCode {
        let request = self
            .http
            .post(format!("http://{}/orders", self.listen))
            .header("content-type", "application/json");
        request.body(ORDER).send().await.expect("an answer").status()
    }

    async fn connect(&self, first_bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.listen).await.expect("a connection");
        stream.write_all(first_bytes).await.expect("room in the socket");
        stream
    }

    async fn answers_probes(&self) {
        for path in ["/livez", "/readyz", "/metrics"] {
            let is_answered = self.is(path, StatusCode::OK).await;
            assert!(is_answered, "{}{path}: {}", self.program.name(), self.program.log_tail());
        }
    }

    /// Whoever takes orders takes one.
    async fn works_and_stops(self) {
        if self.program.name() == "order-api" {
            assert_eq!(self.order().await, StatusCode::CREATED);
        }
        self.stops_with_0().await;
    }

    async fn stops_with_0(mut self) {
        self.program.terminate();
        let status = self.program.wait(LIMIT).await.expect("its end");
        assert_eq!(status.code(), Some(0), "{}", self.program.log_tail());
    }
}

#[tokio::test]
async fn many_who_send_half_a_head_keep_nobody_out() {
    let stage = Stage::new(&outbox("")).await;
    for name in ["relay", "order-api", "order-consumer"] {
        let served = Served::start(&stage, name, &[]).await;
        let mut slow = Vec::new();
        for _ in 0..CONNECTIONS {
            slow.push(served.connect(HALF_A_HEAD).await);
        }
        served.answers_probes().await;
        served.works_and_stops().await;
    }
}

#[tokio::test]
async fn a_slow_body_takes_nothing_from_others_and_is_a_408() {
    let stage = Stage::new(&outbox("")).await;
    let served =
        Served::start(&stage, "order-api", &["--requests-max", "1", "--postgres-connections", "1"])
            .await;
    let head = "POST /orders HTTP/1.1\r\nHost: h\r\nContent-Type: \
        application/json\r\nContent-Length: 100\r\n\r\n{";
    let mut slow = Vec::new();
    for _ in 0..10 {
        slow.push(served.connect(head.as_bytes()).await);
    }
    assert_eq!(served.order().await, StatusCode::CREATED);
    for stream in &mut slow {
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        tokio::time::timeout(LIMIT, read).await.expect("in time").expect("an answer, and the end");
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(
            answer.contains("application/problem+json") && answer.contains("\"status\":408"),
            "{answer}"
        );
    }
    // Nor is one waited for at a stop.
    let mut last = served.connect(head.as_bytes()).await;
    assert_eq!(served.order().await, StatusCode::CREATED);
    served.stops_with_0().await;
    let mut answer = String::new();
    // It may be cut off as well.
    let _ = last.read_to_string(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn many_who_send_half_a_body_keep_nobody_out() {
    let stage = Stage::new(&outbox("")).await;
    for name in ["relay", "order-api", "order-consumer"] {
        let served = Served::start(&stage, name, &[]).await;
        let mut slow = Vec::new();
        for path in ["/orders", "/livez"] {
            let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{{");
            for _ in 0..CONNECTIONS {
                slow.push(served.connect(head.as_bytes()).await);
            }
            served.answers_probes().await;
        }
        served.works_and_stops().await;
    }
}

/// The same from clients that come back as soon as they are dropped, so that connections are always
/// new, and heads on their way, when somebody has to make room.
#[tokio::test]
async fn many_who_send_half_a_body_again_and_again_keep_nobody_out() {
    let stage = Stage::new(&outbox("")).await;
    for name in ["relay", "order-api", "order-consumer"] {
        let served = Served::start(&stage, name, &[]).await;
        let timed_out = Arc::new(AtomicUsize::new(0));
        let mut slow = JoinSet::new();
        for _ in 0..2 * CONNECTIONS {
            slow.spawn(half_a_body_again_and_again(served.listen.clone(), Arc::clone(&timed_out)));
        }
        for _ in 0..5 {
            assert!(
                served.is("/livez", StatusCode::OK).await,
                "{name}: {}",
                served.program.log_tail()
            );
            if name == "order-api" {
                assert_eq!(served.order().await, StatusCode::CREATED);
            }
        }
        // None of these requests waited until somebody's body had run out of time.
        assert_eq!(timed_out.load(Ordering::SeqCst), 0, "{name}");
        served.stops_with_0().await;
    }
}

async fn half_a_body_again_and_again(listen: String, timed_out: Arc<AtomicUsize>) {
    let head = b"POST /orders HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
        Content-Length: 100\r\n\r\n{";
    loop {
        let Ok(mut stream) = TcpStream::connect(&listen).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let mut answer = String::new();
        if stream.write_all(head).await.is_ok() && stream.read_to_string(&mut answer).await.is_ok()
        {
            timed_out.fetch_add(answer.matches("HTTP/1.1 408 ").count(), Ordering::SeqCst);
        }
    }
}

/// Whole requests that wait for a lock in Postgres.
#[tokio::test]
async fn many_requests_that_hang_keep_no_probe_out() {
    let stage = Stage::new(&outbox("")).await;
    let served = Served::start(&stage, "order-api", &[]).await;
    let mut holder = stage.client().await;
    let lock = holder.transaction().await.expect("a transaction");
    lock.batch_execute("lock table orders.orders in access exclusive mode").await.expect("a lock");
    let length = ORDER.len();
    let head = "POST /orders HTTP/1.1\r\nHost: h\r\nContent-Type: application/json";
    let request = format!("{head}\r\nContent-Length: {length}\r\n\r\n{ORDER}");
    let mut waiting = Vec::new();
    for _ in 0..CONNECTIONS {
        waiting.push(served.connect(request.as_bytes()).await);
    }
    for path in ["/livez", "/metrics"] {
        assert!(served.is(path, StatusCode::OK).await, "{path}: {}", served.program.log_tail());
    }
    drop(lock);
    drop(waiting);
    served.stops_with_0().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_and_idle_connections_end_with_the_program() {
    let stage = Stage::new(&outbox("")).await;
    for name in ["relay", "order-api", "order-consumer"] {
        let served = Served::start(&stage, name, &[]).await;
        let mut pipelined =
            served.connect(&b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3)).await;
        let (mut answers, mut bytes) = (String::new(), [0; 1024]);
        while answers.matches("HTTP/1.1 200 OK").count() < 3 {
            let count = tokio::time::timeout(LIMIT, pipelined.read(&mut bytes))
                .await
                .expect("in time")
                .expect("bytes");
            assert!(count > 0, "{name} closed: {answers}");
            answers.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        // Silent ones, and one that never reads its many answers.
        let mut others = vec![served.connect(b"").await];
        let greedy = b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n".repeat(500);
        others.push(served.connect(&greedy).await);
        assert!(served.is("/livez", StatusCode::OK).await, "{name}");
        served.stops_with_0().await;
    }
}

#[tokio::test]
async fn order_api_can_serve_its_probes_elsewhere() {
    let stage = Stage::new(&outbox("")).await;
    let own = format!("127.0.0.1:{}", free_port().expect("a port"));
    let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
    let postgres = stage.postgres.url();
    let args = ["--listen", &listen, "--admin-listen", &own, "--postgres-url", &postgres];
    let program =
        Program::start("order-api", Path::new(program("order-api")), &args, &[], stage.path());
    let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().expect("a client");
    let (own, listen) = (
        Served { program: program.expect("order-api"), listen: own, http: http.clone() },
        async |path: &str| {
            http.get(format!("http://{listen}{path}")).send().await.expect("an answer").status()
        },
    );
    eventually(LIMIT, "readiness", async || own.is("/readyz", StatusCode::OK).await)
        .await
        .expect("in time");
    for path in ["/livez", "/readyz", "/metrics"] {
        assert!(own.is(path, StatusCode::OK).await, "{path}");
        assert_eq!(listen(path).await, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(own.is("/orders", StatusCode::NOT_FOUND).await);
    assert_eq!(listen("/orders").await, StatusCode::OK);
    own.stops_with_0().await;
}
