//! One read of a kept table: a single statement, which holds nothing when it is over.

use futures_util::TryStreamExt;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::claim::limit::as_cap;
use super::super::identity::is_another;
use super::super::refusal::{Failed, Said};
use super::super::row::{BadRow, Rows};
use super::super::session::Session;
use super::KeptOutbox;
use crate::relay::event::Batch;
use crate::relay::kept::pieces::{Next, Piece};
use crate::relay::kept::position::{BELOW_ALL, Extent};
use crate::relay::kept::snapshot::Snapshot;
use crate::relay::outbox::OutboxError;

/// What a read may return.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) rows: usize,
    /// Bytes of all rows; one row may have as many by itself.
    pub(super) bytes: usize,
    /// The rows of this order value alone.
    pub(super) only: Option<i64>,
}

/// What a read gave.
pub(super) enum Looked {
    Rows(Read),
    /// The first row cannot be delivered like this.
    Bad(BadRow),
    /// The server has said no, behind so many rows.
    Refused(usize, Said),
}

impl Looked {
    /// The server's words, if it has said no.
    pub(super) fn refusal(&self) -> Option<&Said> {
        match self {
            Self::Refused(_, said) => Some(said),
            Self::Rows(_) | Self::Bad(_) => None,
        }
    }
}

/// The rows, and what is known of the moment.
pub(super) struct Read {
    pub(super) batch: Batch,
    pub(super) bytes: usize,
    /// What was visible.
    pub(super) snapshot: Snapshot,
    /// Whether a crash of the server leaves all of it.
    pub(super) durable: bool,
    pub(super) extent: Extent,
    /// Whether there may be more.
    pub(super) full: bool,
}

/// The first row of the answer.
struct Header {
    snapshot: Snapshot,
    durable: bool,
    drawn: Option<i64>,
}

impl KeptOutbox {
    /// Reads the next rows of a piece; how long that may take is the caller's to say.
    pub(super) async fn read(
        &self,
        client: &Session,
        piece: &Piece,
        next: &Next,
        bounds: Bounds,
    ) -> Result<Looked, Failed> {
        let sql = if bounds.only.is_some() { &self.sql.lone } else { &self.sql.read };
        let statement = client.prepare_cached(sql).await?;
        let asked = Asked::new(piece, next, self.known());
        let (limit, cap) = (as_limit(bounds.rows), as_cap(bounds.bytes));
        let mut params = asked.params(&limit, &cap, &self.base.marker).to_vec();
        params.extend(bounds.only.iter().map(|only| only as &(dyn ToSql + Sync)));
        let rows = match client.query_raw(&statement, &params).await.map_err(Failed::from) {
            Ok(rows) => rows,
            Err(Failed::Said(said)) => return Ok(Looked::Refused(0, said)),
            Err(lost) => return Err(lost),
        };
        let mut rows = std::pin::pin!(rows);
        let mut taken = Rows::new(&self.base.table.layout, bounds.bytes, &self.base.marker);
        let columns = self.base.table.list.len();
        let mut header = None;
        // Behind this row a cut parts no rows of one id.
        let (mut cut, mut previous) = (0, None);
        let ended = async {
            while let Some(row) = rows.try_next().await? {
                if header.is_none() {
                    header = Some(row);
                    continue;
                }
                if let Err(bad) = taken.push(&row) {
                    return Ok(Some(bad));
                }
                let order = taken.last_order();
                if taken.len() > 1 && order != previous {
                    cut = taken.len() - 1;
                    if taken.bytes() > bounds.bytes {
                        return Ok(Some(BadRow::TooLong));
                    }
                }
                previous = order;
            }
            Ok::<_, tokio_postgres::Error>(None)
        };
        let bad = match ended.await.map_err(Failed::from) {
            Ok(bad) => bad,
            Err(Failed::Said(said)) => return Ok(Looked::Refused(taken.len(), said)),
            Err(lost) => return Err(lost),
        };
        let header = self.header(header.as_ref(), columns)?;
        if let Some(bad) = bad {
            // A row that was refused is not among those that were taken; one that was too much is.
            let kept =
                if taken.bytes() > bounds.bytes && taken.len() > 1 { cut } else { taken.len() };
            let kept = if kept > 0 { kept } else { return Ok(Looked::Bad(bad)) };
            return Ok(Looked::Rows(Read::of(taken, kept, true, header, asked.hint_of(piece))));
        }
        let (len, full) = (taken.len(), taken.len() >= bounds.rows);
        let mut read = Read::of(taken, len, full, header, asked.hint_of(piece));
        if let Some(only) = bounds.only {
            // Whatever has become of it, the others were not looked at.
            (read.extent, read.full) = (Extent::UpTo(only), true);
        }
        Ok(Looked::Rows(read))
    }

    fn header(&self, row: Option<&Row>, columns: usize) -> Result<Header, Failed> {
        let bad = |what: String| Failed::Lost(OutboxError::Postgres(what));
        let get = |error: tokio_postgres::Error| bad(error.to_string());
        let row = row.ok_or_else(|| bad("a read without an answer".to_owned()))?;
        if !row.try_get::<_, bool>(columns + 3).map_err(get)? {
            return Err(Failed::Lost(is_another(&self.base.config.table)));
        }
        let timeline: Option<&str> = row.try_get(columns + 2).map_err(get)?;
        let expected = self.timeline();
        if timeline != Some(expected.as_str()) {
            let found = timeline.unwrap_or("none: it is a standby");
            return Err(bad(format!(
                "the server is not the one that the position is of: timeline {found}, not \
                    {expected}"
            )));
        }
        let snapshot = Snapshot::parse(row.try_get(columns).map_err(get)?);
        Ok(Header {
            snapshot: snapshot.map_err(|error| bad(error.to_string()))?,
            durable: row.try_get(columns + 1).map_err(get)?,
            drawn: row.try_get(columns + 4).map_err(get)?,
        })
    }
}

impl Read {
    fn of(taken: Rows<'_>, rows: usize, full: bool, header: Header, hint: Hint) -> Self {
        let bytes = taken.bytes();
        let (mut batch, _) = taken.finish();
        batch.events.truncate(rows);
        batch.route.truncate(rows * batch.route_width);
        let last = batch.events.last().and_then(|event| event.order).unwrap_or(BELOW_ALL);
        let extent =
            if full { Extent::UpTo(last) } else { Extent::All(hint.after(last, header.drawn)) };
        let Header { snapshot, durable, .. } = header;
        Self { batch, bytes, snapshot, durable, extent, full }
    }
}

/// How the next hint is found.
#[derive(Debug, Clone, Copy)]
struct Hint {
    before: i64,
    /// Whether the read had a target: what was committed since then is still to be read.
    has_target: bool,
}

impl Hint {
    /// `last`: the last id that was read. `drawn`: the last one that was taken from the sequence.
    fn after(self, last: i64, drawn: Option<i64>) -> i64 {
        let read = last.max(self.before);
        match drawn {
            // Whatever is not above it and was not seen is open: there is little of it.
            Some(drawn) if !self.has_target => drawn,
            // Above the rows that came since, all of them would be looked for by their
            // transactions; and so would be those below an id that somebody made up.
            Some(drawn) => drawn.min(read),
            None => read,
        }
    }
}

/// What is asked for, as parameters.
pub(super) struct Asked {
    seen: String,
    target: Option<String>,
    mark: i64,
    hint: i64,
    except: Option<Vec<String>>,
    slots: Option<i64>,
    only: Option<String>,
    buried: bool,
    sequence: Option<u32>,
}

impl Asked {
    /// The last two: whether rows may have gone to the dead letters before, and the sequence of the
    /// order column.
    pub(super) fn new(piece: &Piece, next: &Next, (buried, sequence): (bool, Option<u32>)) -> Self {
        let position = &piece.position;
        let own = position.target.as_ref().map(|target| &target.snapshot);
        Self {
            seen: position.seen.to_string(),
            target: own.or(next.target.as_ref()).map(ToString::to_string),
            mark: position.mark(),
            hint: position.hint,
            except: (!next.except.is_empty()).then(|| next.except.clone()),
            slots: (piece.slots != crate::relay::outbox::slots::ALL).then_some(piece.slots),
            only: piece.stream.clone(),
            buried,
            sequence,
        }
    }

    fn hint_of(&self, piece: &Piece) -> Hint {
        Hint { before: piece.position.hint, has_target: self.target.is_some() }
    }

    pub(super) fn params<'a>(
        &'a self,
        limit: &'a i64,
        cap: &'a i32,
        marker: &'a String,
    ) -> [&'a (dyn ToSql + Sync); 12] {
        let Self { seen, target, mark, hint, except, slots, only, buried, sequence } = self;
        [seen, target, mark, hint, limit, except, slots, only, cap, marker, buried, sequence]
    }
}

pub(super) fn as_limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_stays_below_rows_that_came_after_a_target() {
        // before, has a target, last id read, drawn: the next hint
        let table = [
            (10, false, 20, Some(25), 25),
            (10, false, BELOW_ALL, Some(25), 25),
            (10, false, i64::MAX, Some(25), 25),
            (10, true, 20, Some(5_000), 20),
            (10, true, BELOW_ALL, Some(5_000), 10),
            (10, true, i64::MAX, Some(5_000), 5_000),
            (10, true, 20, None, 20),
            (10, false, BELOW_ALL, None, 10),
        ];
        for (before, has_target, last, drawn, expected) in table {
            let hint = Hint { before, has_target }.after(last, drawn);
            assert_eq!(hint, expected, "{before} {has_target} {last} {drawn:?}");
        }
    }
}
