//! One connection of a client, from its first byte to its last.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::wire::{Handshake, Peer, Wire};

/// How long the head of a request may take, the time between two requests included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to read an answer once its connection is no longer wanted.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// A head, or what is read of a body at a time.
const BUFFER_BYTES_MAX: usize = 32 * 1024;

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// No request has come since then.
    Fresh(Instant),
    /// A request has come then, without the end of its body.
    Receiving(Instant),
    /// A whole request is in hand.
    Busy,
    /// The last request was answered then; whether the client has read the answer is not known.
    Answered(Instant),
}

impl State {
    pub(super) fn fresh() -> Self {
        Self::Fresh(Instant::now())
    }

    pub(super) fn is_receiving(self) -> bool {
        matches!(self, Self::Receiving(_))
    }

    /// Since when the connection has been waiting for its client; `None` if the client waits.
    pub(super) fn since(self) -> Option<Instant> {
        match self {
            Self::Fresh(since) | Self::Receiving(since) | Self::Answered(since) => Some(since),
            Self::Busy => None,
        }
    }
}

/// Whoever has connected.
pub(super) struct Client {
    pub(super) stream: TcpStream,
    pub(super) peer: Peer,
    pub(super) wire: Wire,
}

/// Serves a client until it leaves or is too slow. Once `leave` is cancelled, it gets the answer to
/// its request, if one is in hand, and no other. At a stop that holds for a request of which only a
/// part has come, too; otherwise somebody else waits for the room, perhaps for as long as the
/// client likes.
pub(super) async fn serve(
    client: Client,
    router: Router,
    state: watch::Sender<State>,
    leave: CancellationToken,
    stop: CancellationToken,
) {
    let Client { stream, peer, wire } = client;
    // Answers are written whole.
    let _ = stream.set_nodelay(true);
    match wire.handshake(stream) {
        Handshake::None(stream) => speak(stream, peer, router, state, leave, stop).await,
        Handshake::Tls(handshake) => {
            let secured = tokio::select! {
                secured = tokio::time::timeout(HEAD_TIMEOUT, handshake) => secured,
                () = leave.cancelled() => return,
            };
            // Whoever speaks no TLS, or another version, is its own fault.
            let Ok(Ok(stream)) = secured else { return };
            speak(stream, peer, router, state, leave, stop).await;
        }
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    peer: Peer,
    router: Router,
    state: watch::Sender<State>,
    leave: CancellationToken,
    stop: CancellationToken,
) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let mut seen = state.subscribe();
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let in_hand = InHand::new(state.clone(), request.body().is_end_stream());
        let answer = router.call(request.map(|body| Arriving { body, state: state.clone() }));
        async move {
            let answer = answer.await;
            drop(in_hand);
            answer
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(TokioIo::new(Box::pin(stream)), service)
    );
    tokio::select! {
        // A client that breaks off, or speaks no HTTP, is its own fault.
        _ended = connection.as_mut() => return,
        () = leave.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        _ended = connection.as_mut() => {}
        () = until_read(&mut seen, &stop) => {}
    }
}

/// Waits for the request in hand, and a moment for its answer to be read. Half a head is not waited
/// for.
async fn until_read(seen: &mut watch::Receiver<State>, stop: &CancellationToken) {
    let is_over = |state: &State| match state {
        State::Busy => false,
        State::Receiving(_) => !stop.is_cancelled(),
        State::Fresh(_) | State::Answered(_) => true,
    };
    // Fails only without a sender, which the connection has.
    let state = seen.wait_for(is_over).await.map(|state| *state);
    if let Ok(State::Answered(at)) = state {
        tokio::time::sleep_until(at + LAST_ANSWER_TIMEOUT).await;
    }
}

/// Says that a request is in hand for as long as it lives.
struct InHand(watch::Sender<State>);

impl InHand {
    fn new(state: watch::Sender<State>, is_whole: bool) -> Self {
        state.send_replace(if is_whole { State::Busy } else { State::Receiving(Instant::now()) });
        Self(state)
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.send_replace(State::Answered(Instant::now()));
    }
}

/// A body that says when all of it has come.
struct Arriving {
    body: Incoming,
    state: watch::Sender<State>,
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.state.send_if_modified(|state| {
                let is_news = state.is_receiving();
                if is_news {
                    *state = State::Busy;
                }
                is_news
            });
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
