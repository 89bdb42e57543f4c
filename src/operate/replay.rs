//! `outflow replay`: sends rows of a kept outbox once more, to another stream or to their own.
//!
//! Each batch and the position behind it are written by one script, into a journal that belongs to
//! this replay. Killed and started again, it goes on behind the last batch that arrived. While a
//! batch is appended, the next one is read, and no more than that one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::operate::audit::{Who, record};
use crate::operate::connect::untraced;
use crate::operate::stopping::{AUDIT_PATIENCE, ended, is_overdue};
use crate::relay::encode::Encoder;
use crate::relay::event::{Batch, Passage};
use crate::relay::kept::journal::Journal;
use crate::relay::kept::pieces::{Piece, Pieces};
use crate::relay::kept::position::Position as At;
use crate::relay::kept::sink::KeptSink;
use crate::relay::options::{OutboxOptions, Settle};
use crate::relay::outbox::kept::replay::{Extract, Reader, What, piece};
use crate::relay::outbox::kept::unread::copies;
use crate::relay::outbox::table::Table;
use crate::relay::route::Template;
use crate::relay::sink::{Position, Sink as _};
use outflow_connect::postgres::failed;
use outflow_connect::redis::{Args, Redis};
use outflow_core::fault::{Fault, FaultKind};

/// The only member of a replay.
const MEMBER: i32 = 1;

/// What is to be sent, and where to.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which rows.
    pub what: What,
    /// The stream; `None`: each event to its own.
    pub to: Option<String>,
    /// Events a second; `None`: as fast as it goes.
    pub rate: Option<u32>,
    /// Forget how far an earlier replay of this kind came.
    pub restart: bool,
}

/// A replay that is ready.
pub struct Replay {
    client: Client,
    redis: Redis,
    reader: Reader,
    encoder: Encoder,
    journal: Arc<Journal>,
    sink: KeptSink,
    pieces: Pieces,
    generation: i64,
    rate: Option<u32>,
    outbox: String,
    /// As the audit has it.
    noted: Value,
    /// Whether it goes on with one that was begun before.
    pub is_resumed: bool,
    /// What is left to send.
    pub extract: Extract,
}

impl Replay {
    /// Looks up the table, the target and how far an earlier run came; sends nothing.
    ///
    /// # Errors
    /// The outbox is not kept, the target is no stream, or a server refuses or is gone.
    pub async fn prepare(
        client: Client,
        redis: Redis,
        outbox: &OutboxOptions,
        request: Request,
    ) -> Result<Self, Fault> {
        let Settle::Keep(keep) = &outbox.settle else {
            let what =
                format!("outbox {:?} deletes its rows: nothing can be replayed", outbox.name);
            return Err(Fault::configuration(what).remedy("docs/keeping.md shows how to keep them"));
        };
        let has_time = outbox.columns.time.is_some();
        if !has_time && (request.what.since.is_some() || request.what.until.is_some()) {
            let what = format!("outbox {:?} has no columns.time", outbox.name);
            return Err(Fault::configuration(what).remedy("use --from-id"));
        }
        let noted = noted(&request);
        let table = Table::inspect(&client, outbox).await?;
        let template = match &request.to {
            Some(stream) => {
                is_stream(&redis, stream).await?;
                literal(stream)?
            }
            None => outbox.stream.clone(),
        };
        let copies = copies(&client, table.oid).await.map_err(failed)?.map_err(Fault::failed)?;
        let name = format!("{}.replay.{:016x}", table.journal, digest(&request));
        let journal = Arc::new(Journal::new(redis.clone(), &name, outbox.stream.hash_tag()));
        let sink = KeptSink::new(Arc::clone(&journal), Arc::default());
        let reader = Reader::new(outbox, keep, table, &copies, request.what);
        let begun = reader.begin(&client).await.map_err(in_postgres)?;
        let known = journal.state().await.map_err(in_redis)?.into_iter();
        let known = known.flat_map(|state| state.members).next().filter(|_| !request.restart);
        let (pieces, is_resumed) = match known.map(|(_, text)| Pieces::parse(&text)) {
            Some(Ok(pieces)) => (pieces, true),
            Some(Err(bad)) => return Err(Fault::failed(format!("its journal: {bad}"))),
            None => (begun, false),
        };
        let position = piece(&pieces).map_or_else(At::beginning, |piece| piece.position.clone());
        let extract = reader.extract(&client, &position).await.map_err(in_postgres)?;
        let encoder = Encoder {
            template,
            format: outbox.format,
            event_bytes_max: outbox.event_bytes_max,
            source: Bytes::from(format!("/{}", outbox.name)),
        };
        let (generation, rate) = (0, request.rate);
        let name = outbox.name.clone();
        Ok(Self {
            client,
            redis,
            reader,
            encoder,
            journal,
            sink,
            pieces,
            generation,
            rate,
            outbox: name,
            noted,
            is_resumed,
            extract,
        })
    }

    /// Sends all of it, until it is stopped. `told` is called behind each batch with how many
    /// events have been sent. The audit says before it begins what is to be sent, and for whom, and
    /// afterwards how much was.
    ///
    /// # Errors
    /// The audit takes no row, a stream refuses, a server refuses or is gone, or another run of
    /// this replay has taken over.
    /// The next run goes on from here.
    pub async fn run(
        mut self,
        who: &Who,
        stop: &CancellationToken,
        mut told: impl FnMut(u64),
    ) -> Result<u64, Fault> {
        let events = self.extract.events.unsigned_abs();
        let written = record(&self.client, who, "replay", &self.outbox, events, &self.noted).await;
        written.map_err(untraced)?;
        let mut sent = 0;
        let outcome = tokio::select! {
            outcome = self.send(stop, &mut sent, &mut told) => outcome,
            () = is_overdue(stop) => {
                let what = "it was stopped in the midst of a batch, which may have arrived";
                Err(Fault::failed(what).remedy("run the same again: it goes on where it was"))
            }
        };
        if let Value::Object(fields) = &mut self.noted {
            fields.insert("end".to_owned(), ended(outcome.is_ok(), stop).into());
        }
        let noted = record(&self.client, who, "replay done", &self.outbox, sent, &self.noted);
        match timeout(AUDIT_PATIENCE, noted).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(reason = %untraced(error), "the end of it is not in outflow.audit");
            }
            Err(_elapsed) => tracing::warn!("the end of it is not in outflow.audit: no answer"),
        }
        self.redis.close().await;
        outcome.map(|()| sent)
    }

    async fn send(
        &mut self,
        until: &CancellationToken,
        sent: &mut u64,
        told: &mut impl FnMut(u64),
    ) -> Result<(), Fault> {
        // From here on an earlier run of this replay, if one is still at work, is fenced off. What
        // it has sent until then is in the answer.
        let raised = self.journal.raise(0).await.map_err(in_redis)?;
        self.generation = raised.generation;
        if self.is_resumed {
            let known = raised.kept.iter().flat_map(|kept| &kept.members).next();
            let known = known.and_then(|(_, text)| Pieces::parse(text).ok());
            self.pieces = known.ok_or_else(gone)?;
        }
        let members = [(MEMBER, self.pieces.to_string())];
        let installed = self.journal.install(self.generation, "replay", &members).await;
        installed.map_err(in_redis)?;
        let entered = self.journal.enter(self.generation, MEMBER).await;
        entered.map_err(|why| in_redis(why.to_string()))?;
        let statement = self.reader.by_index(&self.client).await.map_err(in_postgres)?;
        let session = (&self.client, &statement);
        let next = async |at: &At| self.reader.next(session, at).await.map_err(in_postgres);
        let (started, mut number) = (Instant::now(), 0);
        let mut from = piece(&self.pieces).cloned().ok_or_else(gone)?;
        let mut read = next(&from.position).await?;
        while let Some(step) = read.filter(|_| !until.is_cancelled()) {
            let to = Piece { position: step.after, ..from.clone() };
            number += 1;
            // Postgres gets the next read before this batch is encoded. What was read ahead is
            // dropped if this batch does not arrive.
            let append = self.append(number, (&from, &to), step.batch);
            let (ahead, appended) = tokio::join!(next(&to.position), append);
            *sent += appended?;
            told(*sent);
            if let Some(rate) = self.rate {
                #[expect(clippy::cast_precision_loss, reason = "a pause")]
                let due = Duration::from_secs_f64(*sent as f64 / f64::from(rate));
                let pause = tokio::time::sleep(due.saturating_sub(started.elapsed()));
                tokio::select! {
                    () = pause => {}
                    () = until.cancelled() => {}
                }
            }
            (from, read) = (to, ahead?);
        }
        Ok(())
    }

    /// Appends a batch and moves the position `to` behind it, if it was `from` until now.
    async fn append(
        &self,
        number: u64,
        (piece, moved): (&Piece, &Piece),
        mut batch: Batch,
    ) -> Result<u64, Fault> {
        let target = piece.position.target.as_ref();
        let target = target.map(|target| target.snapshot.to_string()).unwrap_or_default();
        batch.passage = Some(Box::new(Passage {
            rest: String::new(),
            after: moved.to_string(),
            refused: format!("{}|{}|{target}|", piece.slots, piece.position.seen),
            from: piece.position.mark().to_string(),
            hint: piece.position.hint,
            // To one stream: a refusal leaves the position where it is.
            of_stream: true,
        }));
        let entries = self.encoder.encode(&batch, &[]);
        let position = Position {
            generation: self.generation,
            member: MEMBER,
            batch: number,
            previous: number - 1,
            record: 0,
        };
        let refused = self.sink.append(position, &batch, &entries).await;
        let refused = refused.map_err(|error| in_redis(error.to_string()))?;
        if let Some(refusal) = refused.first() {
            let what = format!("stream {} refuses its events: {}", refusal.stream, refusal.message);
            return Err(Fault::failed(what).remedy("see to it, and run the same command again"));
        }
        Ok(u64::try_from(entries.entries.len()).unwrap_or(u64::MAX))
    }
}

/// Nothing else is at that key.
async fn is_stream(redis: &Redis, stream: &str) -> Result<(), Fault> {
    let kind = redis.call("TYPE", Args::from([stream])).await?;
    let kind = kind.string().unwrap_or_default();
    if kind == "stream" || kind == "none" {
        return Ok(());
    }
    let what = format!("{stream} is a key of type {kind}, not a stream");
    Err(Fault::new(FaultKind::Unfit, what).remedy("name another key with --to"))
}

fn literal(stream: &str) -> Result<Template, Fault> {
    let escaped = stream.replace('{', "{{").replace('}', "}}");
    escaped.parse().map_err(|bad| Fault::configuration(format!("--to {stream:?}: {bad}")))
}

/// As the audit has it.
fn noted(request: &Request) -> Value {
    let Request { what, to, rate, restart } = request;
    let What { since, until, from_id, stream, kind, key } = what;
    let mut noted = json!({
        "since": since, "until": until, "from_id": from_id, "stream": stream, "type": kind,
        "key": key, "to": to, "rate": rate, "restart": restart.then_some(true),
    });
    if let Value::Object(fields) = &mut noted {
        fields.retain(|_, value| !value.is_null());
    }
    noted
}

/// Tells replays apart by what they send and where to (FNV-1a).
fn digest(request: &Request) -> u64 {
    let text = format!("{:?} {:?}", request.what, request.to);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn gone() -> Fault {
    Fault::failed("its journal is gone: run the command again")
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
fn in_postgres(error: crate::relay::outbox::OutboxError) -> Fault {
    Fault::failed(error.to_string())
}

fn in_redis(why: String) -> Fault {
    Fault::failed(why).at("Redis")
}
