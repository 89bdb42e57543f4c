//! Dead letters to look at: some at a time, and of what may be long only the beginning.

use tokio_postgres::{Client, Error};

use super::letter::{Filter, Letter};
use super::{documents, letter, select};

/// Bytes of a payload, and of headers, that are read of one letter.
const SHOWN_MAX: i32 = 256 * 1024;

/// Of a list: the first characters of texts, and neither payload nor headers.
const LISTED: &str = "id, outbox, reason, stream, died_at, left(\"row\", 300) as \"row\", \
    left(event_id, 300) as event_id, left(key, 300) as key, left(type, 300) as type, \
    left(time, 100) as time, null::text as headers, null::jsonb as route, \
    left(detail, 1000) as detail, null::jsonb as bytes, missing, length(payload)::bigint \
    + coalesce(pg_column_size(documents), 0) as payload_bytes, null::bytea as payload";

/// The dead letters that pass `filter`, in the order in which they died, without what is in them.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn page(client: &Client, filter: &Filter) -> Result<Vec<Letter>, Error> {
    Ok(select(client, LISTED, filter).await?.iter().map(letter).collect())
}

/// One dead letter. What is longer than 256 KiB is cut; with `contents`, payload, headers,
/// the columns of its stream and bytes that are no text are read, too.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn one(client: &Client, id: i64, contents: bool) -> Result<Option<Letter>, Error> {
    let what = if contents {
        format!(
            "left(headers, {SHOWN_MAX}) as headers, route, bytes, \
             substring(payload from 1 for {SHOWN_MAX}) as payload"
        )
    } else {
        "null::text as headers, null::jsonb as route, null::jsonb as bytes, \
            null::bytea as payload"
            .to_owned()
    };
    let columns = format!(
        "id, outbox, reason, stream, died_at, left(\"row\", 2000) as \"row\", \
         left(event_id, 2000) as event_id, left(key, 2000) as key, left(type, 2000) as type, \
         left(time, 100) as time, left(detail, 20000) as detail, missing, \
         length(payload)::bigint + coalesce(pg_column_size(documents -> 'payload'), 0) \
         as payload_bytes, {what}"
    );
    let filter = Filter { ids: Some(vec![id]), ..Filter::default() };
    let found = select(client, &columns, &filter).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let mut found = letter(row);
    if contents {
        documents::fill(client, &mut found, SHOWN_MAX).await?;
    }
    Ok(Some(found))
}
