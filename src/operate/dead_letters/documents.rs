//! Payload and headers that were moved to the dead letters as jsonb, without being printed: shown
//! if they can be.

use tokio_postgres::Client;

use super::letter::Letter;

/// What a command prints of one. It may be much longer as text than it is stored: `[1e131000]`.
pub(super) const TEXT_MAX: i32 = 64 * 1024 * 1024;

const TEXTS: &str = include_str!("sql/texts.sql");

/// Adds to `letter` what can be printed in at most so many bytes.
///
/// # Errors
/// Postgres is gone.
pub(super) async fn fill(
    client: &Client,
    letter: &mut Letter,
    text_max: i32,
) -> Result<(), tokio_postgres::Error> {
    let texts = match client.query_opt(TEXTS, &[&letter.id, &text_max]).await {
        Ok(texts) => texts,
        // Too long for the server, too: it is told where it is.
        Err(error) if error.as_db_error().is_some() => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some(texts) = texts else { return Ok(()) };
    letter.payload = texts
        .get::<_, Option<String>>(0)
        .or(letter.payload.take().filter(|payload| !payload.is_empty()));
    letter.headers = texts.get::<_, Option<String>>(1).or(letter.headers.take());
    Ok(())
}
