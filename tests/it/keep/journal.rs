//! The journal of a kept outbox over a real Redis: who may append, and what the position says then.

mod append;
mod raise;
mod refusals;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use outflow::relay::encode::{Entries, Entry};
use outflow::relay::event::{Batch, Event, Passage};
use outflow::relay::kept::journal::{Journal, JournalState};
use outflow::relay::kept::sink::KeptSink;
use outflow::relay::sink::{AppendError, Position, Refusal, Sink as _};
use outflow_connect::redis::{self, Args, Reply};
use outflow_local::Redis;
use tempfile::TempDir;

use crate::support::connected;

/// A Redis, and an outbox that is kept in it.
struct Scene {
    redis: redis::Redis,
    _server: Redis,
    _dir: TempDir,
}

/// One relay's view of the journal.
struct Member {
    journal: Arc<Journal>,
    sink: KeptSink,
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let server = Redis::start(dir.path(), &[]).await.expect("Redis");
        let redis = connected(&server.url()).await;
        Self { redis, _server: server, _dir: dir }
    }

    fn member(&self) -> Member {
        member_of(&self.redis, None)
    }

    /// A member that works in generation 1 from these pieces.
    async fn begun(&self, pieces: &str) -> Member {
        let member = self.member();
        member.begins(0, pieces).await;
        member
    }

    async fn call(&self, command: &'static str, args: &[&str]) -> Reply {
        let args = args.iter().copied().collect();
        self.redis.call(command, args).await.expect(command)
    }

    async fn length(&self, stream: &str) -> i64 {
        self.call("XLEN", &[stream]).await.int().expect("a length")
    }

    /// The journal, field by field, but for what a look may write.
    async fn fields(&self, member: &Member) -> Vec<(String, String)> {
        let reply = self.call("HGETALL", &[member.journal.key()]).await;
        let text = |reply: &Reply| reply.string().expect("a text");
        let pair = |pair: &[Reply]| (text(&pair[0]), text(&pair[1]));
        let mut fields: Vec<_> = reply.items().chunks_exact(2).map(pair).collect();
        fields.retain(|(field, _)| field != "probe");
        fields.sort_unstable();
        fields
    }
}

fn member_of(redis: &redis::Redis, tag: Option<&str>) -> Member {
    let journal = Arc::new(Journal::new(redis.clone(), "test", tag));
    let sink = KeptSink::new(Arc::clone(&journal), Arc::default());
    Member { journal, sink }
}

impl Member {
    /// Raises, installs these pieces for member 1 alone, and enters. Returns the generation.
    async fn begins(&self, known: i64, pieces: &str) -> i64 {
        let generation = self.journal.raise(known).await.expect("a generation").generation;
        let pieces = [(1, pieces.to_owned())];
        self.journal.install(generation, "7:1", &pieces).await.expect("an installation");
        self.journal.enter(generation, 1).await.expect("its pieces");
        generation
    }

    async fn append(
        &self,
        at: Position,
        passage: &Passage,
        events: &[(i64, &str)],
    ) -> Result<Vec<Refusal>, AppendError> {
        let (batch, entries) = batch(passage, events);
        self.sink.append(at, &batch, &entries).await
    }

    async fn state(&self) -> JournalState {
        self.journal.state().await.expect("an answer").expect("a journal")
    }

    /// The pieces of member 1.
    async fn pieces(&self) -> String {
        let state = self.state().await;
        state.members.iter().find(|(member, _)| *member == 1).expect("pieces").1.clone()
    }
}

/// Batch `number` of member 1, which follows on the one before.
fn at(generation: i64, number: u64) -> Position {
    Position { generation, member: 1, batch: number, previous: number - 1, record: 0 }
}

/// A batch that ends in the piece `after`.
fn passage(after: &str) -> Passage {
    Passage {
        rest: String::new(),
        after: after.to_owned(),
        refused: "5|1:1:|9:9:|".to_owned(),
        from: String::new(),
        hint: 7,
        of_stream: false,
    }
}

/// Events with these order values, for these streams; none for a dead one.
fn batch(passage: &Passage, events: &[(i64, &str)]) -> (Batch, Entries) {
    let event = |(order, _): &(i64, &str)| Event {
        row: Bytes::new(),
        order: Some(*order),
        id: Bytes::from(order.to_string()),
        key: None,
        kind: Bytes::new(),
        time: None,
        payload: Bytes::new(),
        headers: None,
    };
    let batch = Batch {
        events: events.iter().map(event).collect(),
        passage: Some(Box::new(passage.clone())),
        ..Batch::default()
    };
    let mut entries = Entries { shapes: vec![vec!["id"]], ..Entries::default() };
    for (_, stream) in events.iter().filter(|(_, stream)| !stream.is_empty()) {
        if !entries.streams.iter().any(|known| known == stream) {
            entries.streams.push((*stream).to_owned());
        }
    }
    for (number, stream) in entries.streams.iter().enumerate() {
        for (index, _) in events.iter().enumerate().filter(|(_, (_, of))| of == stream) {
            entries.entries.push(Entry { stream: number, shape: 0, event: index });
            entries.values.push(batch.events[index].id.clone());
        }
    }
    (batch, entries)
}

/// What a stream holds: the ids of its events.
async fn ids(redis: &redis::Redis, stream: &str) -> Vec<String> {
    let reply = redis.call("XRANGE", Args::from([stream, "-", "+"])).await.expect("entries");
    let id = |entry: &Reply| entry.items()[1].items()[1].string().expect("an id");
    reply.items().iter().map(id).collect()
}

/// A cluster's directory.
fn below(dir: &TempDir) -> &Path {
    dir.path()
}
