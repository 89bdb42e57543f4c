//! A log that nobody reads: its reader is gone, or has stopped with a full pipe. The work goes on,
//! and a stop ends well.

use std::io::{PipeReader, Read as _, Write as _, pipe};
use std::process::{Child, Command, Stdio};

use outflow_local::{eventually, free_port};
use reqwest::StatusCode;

use crate::support::{LIMIT, Numbered, Stage, outbox, program};

/// What a pipe of Linux holds.
const PIPE_BYTES: usize = 65_536;
/// A line for each event: some megabytes, more than the log keeps in memory.
const EVENTS: Numbered = Numbered { rows: 20_000, keys: 7 };
const LINE_AN_EVENT: (&str, &str) = ("OUTFLOW_LOG__LEVEL", "info,outflow::events=trace");

/// A program whose stdout and stderr are one pipe.
struct Piped(Child);

impl Piped {
    fn start(
        binary: &str,
        args: &[&str],
        envs: &[(&str, &str)],
        is_full: bool,
    ) -> (Self, PipeReader) {
        let (reader, mut writer) = pipe().expect("a pipe");
        if is_full {
            writer.write_all(&vec![b'\n'; PIPE_BYTES]).expect("room for as much");
        }
        let mut command = Command::new(binary);
        command.args(args).envs(envs.iter().copied()).stdin(Stdio::null());
        command.stdout(writer.try_clone().expect("a pipe")).stderr(writer);
        (Self(command.spawn().expect(binary)), reader)
    }

    async fn stops_with_0(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().try_into().expect("a pid"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it runs");
        let ended =
            eventually(LIMIT, "its end", async || self.0.try_wait().expect("a child")).await;
        assert_eq!(ended.expect("an end").code(), Some(0));
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        // Fails only when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn relay(stage: &Stage, is_full: bool) -> (Piped, PipeReader) {
    let config = stage.path().join("outflow.toml").display().to_string();
    let args = ["run", "--config", &config];
    Piped::start(env!("CARGO_BIN_EXE_outflow"), &args, &[LINE_AN_EVENT], is_full)
}

#[tokio::test]
async fn a_relay_whose_log_reader_is_gone_goes_on() {
    let stage = Stage::new(&outbox("")).await;
    let (relay, reader) = relay(&stage, false);
    drop(reader);
    EVENTS.insert(&stage).await;
    stage.drained().await;
    EVENTS.check(&stage, "events.order").await;
    relay.stops_with_0().await;
}

#[tokio::test]
async fn a_relay_whose_log_reader_has_stopped_drops_lines_and_says_how_many() {
    let stage = Stage::new(&outbox("")).await;
    let (relay, mut reader) = relay(&stage, true);
    EVENTS.insert(&stage).await;
    stage.drained().await;
    EVENTS.check(&stage, "events.order").await;
    let metrics = stage.metrics().await;
    let dropped =
        metrics.lines().find_map(|line| line.strip_prefix("outflow_log_lines_dropped_total "));
    assert!(dropped.expect("the series").parse::<u64>().expect("a number") > 0, "{metrics}");
    // The reader goes on; the log says what it missed.
    let read = tokio::task::spawn_blocking(move || {
        let (mut text, mut bytes) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&text).contains("dropped log lines") {
            let count = reader.read(&mut bytes).expect("a pipe");
            assert!(count > 0, "it ended without a word");
            text.extend_from_slice(&bytes[..count]);
        }
        reader
    });
    let _reader = tokio::time::timeout(LIMIT, read).await.expect("in time").expect("the line");
    relay.stops_with_0().await;
}

/// Nothing is ever read: neither while it works, nor at its end.
#[tokio::test]
async fn a_relay_whose_log_is_never_read_stops_well() {
    let stage = Stage::new(&outbox("")).await;
    let (relay, _reader) = relay(&stage, true);
    EVENTS.insert(&stage).await;
    stage.drained().await;
    relay.stops_with_0().await;
}

#[tokio::test]
async fn a_full_disk_under_the_log_stops_nothing() {
    let stage = Stage::new(&outbox("")).await;
    let config = stage.path().join("outflow.toml").display().to_string();
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let mut command = Command::new(env!("CARGO_BIN_EXE_outflow"));
    command.args(["run", "--config", &config]).stdin(Stdio::null()).stdout(full()).stderr(full());
    let relay = Piped(command.spawn().expect("outflow"));
    EVENTS.insert(&stage).await;
    stage.drained().await;
    relay.stops_with_0().await;
}

#[tokio::test]
async fn the_companions_go_on_without_a_reader() {
    let stage = Stage::new(&outbox("")).await;
    let (postgres, redis) = (stage.postgres.url(), stage.redis.url());
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let programs: [(&str, &[&str]); 2] = [
        (program("order-api"), &[]),
        (program("order-consumer"), &["--redis-url", &redis, "--consumer", "one"]),
    ];
    for (binary, more) in programs {
        for is_full in [false, true] {
            let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
            let args = ["--listen", &listen, "--postgres-url", &postgres, "--log-level", "trace"];
            let (program, reader) = Piped::start(binary, &[&args, more].concat(), &[], is_full);
            // Kept unread, or gone.
            let _reader = is_full.then_some(reader);
            let ready = async || {
                let answer = http.get(format!("http://{listen}/readyz")).send().await;
                answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
            };
            eventually(LIMIT, binary, ready).await.expect("in time");
            program.stops_with_0().await;
        }
    }
}

/// As in `outflow status | head -1`, when `head` has ended before everything is written.
#[tokio::test]
async fn commands_end_quietly_when_nobody_reads_their_output() {
    let stage = Stage::new(&outbox("")).await;
    let config = stage.path().join("outflow.toml").display().to_string();
    let rows: [&[&str]; 9] = [
        &["status"],
        &["status", "--watch", "--interval", "10ms"],
        &["status", "--json"],
        &["check"],
        &["config"],
        &["migrate", "--print"],
        &["version"],
        &["completions", "bash"],
        &["dead", "list"],
    ];
    for args in rows {
        let args = [args, &["--config", &config]].concat();
        let (mut program, reader) = Piped::start(env!("CARGO_BIN_EXE_outflow"), &args, &[], false);
        drop(reader);
        let ended =
            eventually(LIMIT, "its end", async || program.0.try_wait().expect("a child")).await;
        assert_eq!(
            ended.unwrap_or_else(|error| panic!("{args:?}: {error}")).code(),
            Some(0),
            "{args:?}"
        );
    }
    // An error keeps its code.
    let (mut program, reader) = Piped::start(
        env!("CARGO_BIN_EXE_outflow"),
        &["status", "--config", "/nowhere"],
        &[],
        false,
    );
    drop(reader);
    let ended = eventually(LIMIT, "its end", async || program.0.try_wait().expect("a child")).await;
    assert_eq!(ended.expect("an end").code(), Some(78));
}
