//! A TCP proxy between the members and one server, which can be told to misbehave in every way that
//! a network can, and to rewrite what the members say: that is how the mutants are made.
//!
//! All members use the same port, because those that append to another address stand by; whose
//! connection one is shows in its first bytes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use outflow_local::free_port;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

const CHUNK: usize = 64 * 1024;
/// Each piece takes a moment, as in a network, so that there is nearly always something on its way.
const LATENCY: Duration = Duration::from_millis(2);

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They pass.
    Pass,
    /// Every connection is closed, and every new one too.
    Cut,
    /// Those of the client are closed, but the server does not hear of it: a host that lost its
    /// power.
    Orphan,
    /// Nothing passes, and nobody is told. What was on its way arrives later.
    Freeze,
    /// The server hears nothing; what it still answers passes.
    FreezeRequests,
    /// Each piece takes so long, both ways.
    Delay(Duration),
    /// The server hears everything, the client nothing. Whoever missed an answer is cut off
    /// afterwards.
    DropReplies,
    /// For a mutant: an answer is thrown away and what was asked is sent once more, as a client
    /// does that retries.
    Resend,
}

/// Text of the client that is replaced by another of the same length, so that no frame needs to be
/// measured again.
#[derive(Debug, Clone)]
pub(crate) struct Rewrite {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Rewrite {
    /// What is replaced.
    pub(crate) fn from(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.from)
    }

    /// `to` is filled up with spaces; it must not be longer.
    pub(crate) fn new(from: &str, to: &str) -> Self {
        assert!(to.len() <= from.len(), "{to:?} is longer than {from:?}");
        let to = format!("{to:width$}", width = from.len());
        Self { from: from.as_bytes().to_vec(), to: to.into_bytes() }
    }
}

/// Which connections: those whose first bytes have all of these texts.
pub(crate) type Label = Vec<Vec<u8>>;

/// One proxy, listening on a port of its own.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    _listener: AbortOnDropHandle<()>,
}

struct Shared {
    server_port: AtomicU16,
    /// The first that fits is a connection's.
    lanes: Vec<Lane>,
    rewrites: Vec<Rewrite>,
    /// How often each text was replaced.
    rewritten: Vec<AtomicU64>,
    resent: AtomicU64,
}

struct Lane {
    label: Label,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    pub(crate) async fn start(server_port: u16, labels: Vec<Label>, rewrites: &[Rewrite]) -> Self {
        let port = free_port().expect("a port");
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a listener");
        let lanes = labels
            .into_iter()
            .map(|label| Lane { label, mode: watch::Sender::new(Mode::Pass) })
            .collect();
        let shared = Arc::new(Shared {
            server_port: AtomicU16::new(server_port),
            lanes,
            rewrites: rewrites.to_vec(),
            rewritten: rewrites.iter().map(|_| AtomicU64::new(0)).collect(),
            resent: AtomicU64::new(0),
        });
        let accepting = accept(listener, Arc::clone(&shared));
        Self { port, shared, _listener: AbortOnDropHandle::new(tokio::spawn(accepting)) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// New connections lead to another server: what was the address of a primary is that of the
    /// replica which took over from it.
    pub(crate) fn lead_to(&self, server_port: u16) {
        self.shared.server_port.store(server_port, Ordering::Relaxed);
    }

    /// From now on this becomes of the bytes of a lane, by its place among the labels.
    pub(crate) fn set(&self, lane: usize, mode: Mode) {
        self.shared.lanes[lane].mode.send_replace(mode);
    }

    /// How many pieces of text were replaced.
    pub(crate) fn rewritten(&self) -> impl Iterator<Item = u64> {
        self.shared.rewritten.iter().map(|count| count.load(Ordering::Relaxed))
    }

    /// How many commands were sent once more.
    pub(crate) fn resent(&self) -> u64 {
        self.shared.resent.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // Ends with its sockets, at the latest when the servers end.
        tokio::spawn(async move { link(client, shared).await.ok() });
    }
}

/// What both directions of a connection know of it.
struct Link<'a> {
    shared: &'a Shared,
    mode: watch::Receiver<Mode>,
    /// The client is cut off.
    client_gone: CancellationToken,
    /// The server is cut off.
    server_gone: CancellationToken,
    /// What the client has said since the server's last answer, while answers are to be thrown
    /// away.
    asked: Mutex<Vec<u8>>,
    to_server: AsyncMutex<OwnedWriteHalf>,
}

async fn link(mut client: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let mut first = vec![0; CHUNK];
    let read = client.read(&mut first).await?;
    first.truncate(read);
    let fits = |lane: &&Lane| lane.label.iter().all(|text| has(&first, text));
    let Some(lane) = shared.lanes.iter().find(fits) else {
        return Err(io::Error::other("whose connection this is does not show"));
    };
    let mut mode = lane.mode.subscribe();
    let _ = mode.wait_for(|mode| !matches!(mode, Mode::Freeze | Mode::FreezeRequests)).await;
    if matches!(*mode.borrow(), Mode::Cut | Mode::Orphan) {
        return Ok(());
    }
    let server =
        TcpStream::connect(("127.0.0.1", shared.server_port.load(Ordering::Relaxed))).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let link = Link {
        shared: &shared,
        mode,
        client_gone: CancellationToken::new(),
        server_gone: CancellationToken::new(),
        asked: Mutex::default(),
        to_server: AsyncMutex::new(to_server),
    };
    let asking = async {
        tokio::select! {
            _ended = ask(&link, first, from_client) => {}
            () = link.client_gone.cancelled() => {}
        }
        link.client_gone.cancel();
        // The server hears of the end of the client, unless that is what is kept from it.
        let mut mode = link.mode.clone();
        let _ = mode
            .wait_for(|mode| !matches!(mode, Mode::Orphan | Mode::Freeze | Mode::FreezeRequests))
            .await;
    };
    let answering = async {
        tokio::select! {
            _ended = answer(&link, from_server, to_client) => {}
            () = link.server_gone.cancelled() => {}
            // Its half of the server's socket goes; the other half keeps that open.
            () = link.client_gone.cancelled() => {}
        }
        link.client_gone.cancel();
    };
    tokio::select! {
        _ = futures_util::future::join(asking, answering) => {}
        () = cut(&link) => {}
    }
    Ok(())
}

/// Cuts the connection when it is told to.
async fn cut(link: &Link<'_>) {
    let mut mode = link.mode.clone();
    loop {
        let now = *mode.borrow_and_update();
        match now {
            Mode::Cut => return,
            Mode::Orphan => link.client_gone.cancel(),
            Mode::Pass
            | Mode::Freeze
            | Mode::FreezeRequests
            | Mode::Delay(_)
            | Mode::DropReplies
            | Mode::Resend => {}
        }
        if mode.changed().await.is_err() {
            return;
        }
    }
}

/// Client to server.
async fn ask(link: &Link<'_>, first: Vec<u8>, mut from: OwnedReadHalf) -> io::Result<()> {
    let mut mode = link.mode.clone();
    let mut rewriter = Rewriter::new(link.shared);
    let mut chunk = first;
    loop {
        let _ = mode.wait_for(|mode| *mode != Mode::FreezeRequests).await;
        hold(&mut mode).await;
        let passed = rewriter.pass(&chunk);
        if *mode.borrow() == Mode::Resend {
            link.asked.lock().extend_from_slice(&passed);
        }
        link.to_server.lock().await.write_all(&passed).await?;
        chunk.resize(CHUNK, 0);
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        chunk.truncate(read);
    }
}

/// Server to client.
async fn answer(
    link: &Link<'_>,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
) -> io::Result<()> {
    let mut mode = link.mode.clone();
    let mut chunk = vec![0; CHUNK];
    let mut missed = false;
    loop {
        let mut seen = link.mode.clone();
        let read = tokio::select! {
            read = from.read(&mut chunk) => read?,
            _ = seen.wait_for(|mode| missed && *mode != Mode::DropReplies) => return Ok(()),
        };
        hold(&mut mode).await;
        if read == 0 {
            return Ok(());
        }
        let now = *mode.borrow();
        if missed || now == Mode::DropReplies {
            missed = true;
            continue;
        }
        if now == Mode::Resend {
            let asked = std::mem::take(&mut *link.asked.lock());
            // An answer that says that nothing ran is no loss.
            if has(&asked, b"EVAL") && !chunk.starts_with(b"-NOSCRIPT") {
                link.shared.resent.fetch_add(1, Ordering::Relaxed);
                link.to_server.lock().await.write_all(&asked).await?;
                continue;
            }
        }
        to.write_all(&chunk[..read]).await?;
    }
}

/// Lets a piece through when its time has come.
async fn hold(mode: &mut watch::Receiver<Mode>) {
    let _ = mode.wait_for(|mode| *mode != Mode::Freeze).await;
    let now = *mode.borrow();
    let pause = if let Mode::Delay(pause) = now { pause } else { LATENCY };
    tokio::time::sleep(pause).await;
}

/// Replaces text in a stream of pieces, also where it lies across two of them.
struct Rewriter<'a> {
    shared: &'a Shared,
    /// The end of the last piece, which may be the beginning of a text to replace.
    held: Vec<u8>,
}

impl<'a> Rewriter<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self { shared, held: Vec::new() }
    }

    fn pass(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.held);
        text.extend_from_slice(piece);
        for (Rewrite { from, to }, count) in self.shared.rewrites.iter().zip(&self.shared.rewritten)
        {
            let mut at = 0;
            while let Some(found) = find(&text[at..], from) {
                text[at + found..at + found + from.len()].copy_from_slice(to);
                count.fetch_add(1, Ordering::Relaxed);
                at += found + from.len();
            }
        }
        let kept = self
            .shared
            .rewrites
            .iter()
            .map(|rewrite| beginning(&text, &rewrite.from))
            .max()
            .unwrap_or(0);
        self.held = text.split_off(text.len() - kept);
        text
    }
}

/// How many bytes at the end of `text` may be the beginning of `pattern`.
fn beginning(text: &[u8], pattern: &[u8]) -> usize {
    let longest = text.len().min(pattern.len() - 1);
    (1..=longest).rev().find(|length| text.ends_with(&pattern[..*length])).unwrap_or(0)
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}

fn has(text: &[u8], pattern: &[u8]) -> bool {
    find(text, pattern).is_some()
}
