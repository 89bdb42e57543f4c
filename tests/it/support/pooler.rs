//! A transaction pooler with a single server connection, such as `PgBouncer` would be with
//! `default_pool_size = 1`.

use std::sync::Arc;

use outflow_local::free_port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// The code of a request for TLS.
const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();

pub(crate) struct Pooler {
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

/// The one connection, and what it answered to its start.
struct Server {
    stream: TcpStream,
    greeting: Vec<u8>,
}

impl Pooler {
    pub(crate) async fn start(server_port: u16) -> Self {
        let port = free_port().expect("a port");
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a listener");
        let task = tokio::spawn(async move {
            let server: Arc<Mutex<Option<Server>>> = Arc::default();
            while let Ok((client, _)) = listener.accept().await {
                let server = Arc::clone(&server);
                tokio::spawn(async move { serve(client, server, server_port).await.ok() });
            }
        });
        Self { port, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a client says first.
async fn greeting(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut start = vec![0; 4];
    client.read_exact(&mut start).await?;
    let length = u32::from_be_bytes([start[0], start[1], start[2], start[3]]) as usize;
    start.resize(length, 0);
    client.read_exact(&mut start[4..]).await?;
    Ok(start)
}

async fn serve(
    mut client: TcpStream,
    server: Arc<Mutex<Option<Server>>>,
    port: u16,
) -> std::io::Result<()> {
    let mut start = greeting(&mut client).await?;
    if start[4..] == SSL_REQUEST {
        client.write_all(b"N").await?;
        start = greeting(&mut client).await?;
    }
    {
        let mut server = server.lock().await;
        if server.is_none() {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
            stream.write_all(&start).await?;
            let mut greeting = Vec::new();
            while !relayed(&mut stream, &mut greeting).await? {}
            *server = Some(Server { stream, greeting });
        }
        client.write_all(&server.as_ref().expect("a server").greeting).await?;
    }
    loop {
        let mut buffer = vec![0; 64 * 1024];
        let read = client.read(&mut buffer).await?;
        if read == 0 || buffer[0] == b'X' {
            return Ok(());
        }
        // Held until the transaction has ended.
        let mut held = server.lock().await;
        let stream = &mut held.as_mut().expect("a server").stream;
        let mut question = buffer[..read].to_vec();
        loop {
            stream.write_all(&question).await?;
            let mut answer = Vec::new();
            for _ in 0..ends(&question) {
                while !relayed(stream, &mut answer).await? {}
            }
            client.write_all(&answer).await?;
            if answer.last() == Some(&b'I') {
                break;
            }
            let read = client.read(&mut buffer).await?;
            if read == 0 || buffer[0] == b'X' {
                stream.write_all(b"Q\0\0\0\x0drollback\0").await?;
                while !relayed(stream, &mut Vec::new()).await? {}
                return Ok(());
            }
            question = buffer[..read].to_vec();
        }
    }
}

/// How often the server will be ready again after these messages: one for each query or sync.
fn ends(mut messages: &[u8]) -> usize {
    let mut ends = 0;
    while let [kind, a, b, c, d, ..] = messages {
        ends += usize::from(matches!(kind, b'Q' | b'S'));
        messages = &messages[1 + u32::from_be_bytes([*a, *b, *c, *d]) as usize..];
    }
    ends
}

/// Takes one message; `true` when the server is ready for the next query.
async fn relayed(stream: &mut TcpStream, into: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let start = into.len() + 5;
    into.extend(head);
    into.resize(start + length - 4, 0);
    stream.read_exact(&mut into[start..]).await?;
    Ok(head[0] == b'Z')
}
