//! `outflow find`: where an event is. In its table, and what it waits for; in a stream, and what
//! the consumer groups have done with it; or among the dead letters.
//!
//! Postgres is asked first, then Redis: an event that is sent meanwhile is found in both, and never
//! in neither. What was not looked at is in the answer, because nothing found in a part of a stream
//! does not mean that nothing is there.

mod events;
mod found;
mod groups;
mod postgres;
mod redis;
mod scan;
mod waits;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Client;

use crate::config::Config;
use crate::operate::status::{self, OutboxStatus};
use crate::relay::options::OutboxOptions;
use crate::relay::outbox::lookup::Match;
use events::Events;
use outflow_connect::postgres::connect;
use outflow_connect::redis::Redis;
use outflow_core::fault::Fault;
use postgres::{Ask, OfOutbox};
use redis::{InRedis, Place, Search};
use scan::Sought;

pub use crate::relay::outbox::lookup::{ROWS_MAX, Wanted};
pub use found::{
    Behind, ConsumerLetter, Did, EventState, Found, FoundEntry, FoundEvent, FoundLetter, FoundRow,
    GroupOf, StreamLook, TableLook,
};
pub use redis::ENTRIES_MAX;
pub use scan::Progress;

/// How long to wait for Redis.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const NAME: &str = "outflow find";

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What is known of the event.
    pub wanted: Wanted,
    /// How far to look back in streams, and among rows that no index leads to. `None`: as far as
    /// [`ENTRIES_MAX`] entries and [`ROWS_MAX`] rows go.
    pub since: Option<Timestamp>,
    /// So many events at most, the newest ones.
    pub limit: usize,
}

/// Looks for an event in these outboxes. `told` is called while it takes long.
///
/// # Errors
/// The value is none of the type that the column has. A server that cannot be asked is in the
/// answer.
pub async fn find(
    config: &Config,
    outboxes: &[&OutboxOptions],
    query: &Query,
    mut told: impl FnMut(Progress),
) -> Result<Found, Fault> {
    let mut found = Found {
        at: Timestamp::now(),
        events: Vec::new(),
        has_more: false,
        is_complete: false,
        postgres_problem: None,
        redis_problem: None,
        tables: Vec::new(),
        streams: Vec::new(),
    };
    let redis = to_redis(config).await.map_err(|why| found.redis_problem = Some(why)).ok();
    let client = connect(&config.postgres.named_by_default(NAME)).await;
    let client = client.map_err(|fault| found.postgres_problem = Some(fault.to_string())).ok();
    let mut asked = Vec::new();
    if let Some(client) = &client {
        match rows(client, outboxes, redis.as_ref(), query).await {
            Ok(all) => asked = all,
            Err(lost) => found.postgres_problem = Some(lost),
        }
    }
    let bad: Vec<&String> = asked.iter().filter_map(|of| of.bad_value.as_ref()).collect();
    if !bad.is_empty() && bad.len() == outboxes.len() {
        return Err(Fault::configuration(bad[0].clone()).remedy("give a value of that type"));
    }
    let in_redis = match &redis {
        Some(redis) => entries(redis, config, (outboxes, &asked[..]), query, &mut told).await,
        None => InRedis::default(),
    };
    if let Some(redis) = redis {
        redis.close().await;
    }
    let statuses = statuses(config, outboxes, &asked).await;
    let statuses = statuses.map_err(|why| found.postgres_problem = Some(why)).unwrap_or_default();
    let mut events = Events::default();
    for (outbox, of) in outboxes.iter().zip(asked) {
        found.has_more |= of.has_more;
        let status = statuses.iter().find(|status| status.name == outbox.name);
        for (row, ahead) in of.rows {
            let behind = row.waits.then(|| waits::behind(&row, ahead, &of.owners, status));
            events.row(&row, shown(outbox, &row, behind));
        }
        of.letters.into_iter().for_each(|letter| events.letter(letter));
        let mut look = of.look;
        // No row of it can have this value.
        look.is_complete |= of.bad_value.is_some();
        look.notes.extend(of.bad_value);
        // Of why something waits: what was looked for was found all the same.
        look.notes.extend(status.iter().flat_map(|status| &status.problems).cloned());
        found.tables.push(look);
    }
    found.has_more |= in_redis.has_more;
    for (outboxes, hit, entry) in in_redis.entries {
        events.entry(&outboxes, &hit, entry);
    }
    for (outboxes, hit, letter) in in_redis.letters {
        events.consumer_letter(&outboxes, &hit, letter);
    }
    found.streams = in_redis.looks;
    let (events, has_more) = events.newest(query.limit);
    found.events = events;
    found.has_more |= has_more;
    found.is_complete = found.postgres_problem.is_none()
        && found.redis_problem.is_none()
        && found.tables.iter().all(|look| look.is_complete && look.problems.is_empty())
        && found.streams.iter().all(|look| look.is_complete);
    Ok(found)
}

async fn to_redis(config: &Config) -> Result<Redis, String> {
    let redis = Redis::connect(&config.redis, NAME).map_err(|bad| format!("redis.url: {bad}"))?;
    redis.ready(CONNECT_LIMIT).await.map_err(|failure| failure.to_string())?;
    Ok(redis)
}

async fn rows(
    client: &Client,
    outboxes: &[&OutboxOptions],
    redis: Option<&Redis>,
    query: &Query,
) -> Result<Vec<OfOutbox>, String> {
    let Query { wanted, since, limit } = query;
    let mut all = Vec::new();
    for outbox in outboxes {
        let ask = Ask { wanted, since: *since, limit: *limit };
        all.push(postgres::ask(client, outbox, redis, ask).await?);
    }
    Ok(all)
}

/// `asked` is empty if Postgres could not be asked.
async fn entries(
    redis: &Redis,
    config: &Config,
    (outboxes, asked): (&[&OutboxOptions], &[OfOutbox]),
    query: &Query,
    told: &mut impl FnMut(Progress),
) -> InRedis {
    let forms = asked.iter().filter_map(|of| of.canonical.clone());
    let forms: Vec<Wanted> = [query.wanted.clone()].into_iter().chain(forms).collect();
    let only: Vec<Option<BTreeSet<String>>> =
        (0..outboxes.len()).map(|at| streams_of(asked.get(at)?, &query.wanted)).collect();
    let places = outboxes.iter().enumerate().map(|(at, outbox)| Place {
        outbox,
        journal: asked.get(at).and_then(|of| of.journal.as_deref()),
        only: only[at].as_ref(),
    });
    let places: Vec<Place<'_>> = places.collect();
    let sought = &Sought::new(&forms);
    let user = config.redis.user();
    let search = Search { redis, user, sought, since: query.since, limit: query.limit };
    search.run(&places, told).await
}

/// The streams of the event whose row or dead letter is there; `None`: it can be in any.
fn streams_of(of: &OfOutbox, wanted: &Wanted) -> Option<BTreeSet<String>> {
    // Of a key or a trace there may be other events that are only in streams.
    if !matches!(wanted, Wanted::EventId(_)) {
        return None;
    }
    let rows = of.rows.iter().map(|(row, _)| row.stream.clone());
    let letters = of.letters.iter().map(|letter| letter.letter.stream.clone());
    let named: Vec<Option<String>> = rows.chain(letters).collect();
    (!named.is_empty()).then(|| named.into_iter().flatten().collect())
}

/// Of the outboxes where something waits.
async fn statuses(
    config: &Config,
    outboxes: &[&OutboxOptions],
    asked: &[OfOutbox],
) -> Result<Vec<OutboxStatus>, String> {
    let waits = |of: &OfOutbox| of.rows.iter().any(|(row, _)| row.waits);
    let some = outboxes.iter().zip(asked).filter(|(_, of)| waits(of));
    let some: Vec<&OutboxOptions> = some.map(|(outbox, _)| *outbox).collect();
    if some.is_empty() {
        return Ok(Vec::new());
    }
    status::in_postgres(config, &some).await
}

fn shown(outbox: &OutboxOptions, row: &Match, behind: Option<Behind>) -> FoundRow {
    FoundRow {
        outbox: outbox.name.clone(),
        table: outbox.table.to_string(),
        row: row.row.clone(),
        stream: row.stream.clone(),
        slot: row.slot,
        waits: row.waits,
        behind,
        time: row.time,
    }
}
