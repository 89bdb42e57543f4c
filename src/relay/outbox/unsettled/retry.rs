//! Rows that were appended and not let go are tried again now and then.

use std::time::{Duration, Instant};

use super::{LeftOut, of_text, settle, to_text};
use crate::relay::outbox::OutboxError;
use crate::relay::outbox::lease::Lease;
use crate::relay::outbox::pg_outbox::PgOutbox;
use crate::relay::outbox::refusal::{ask, within};
use crate::relay::outbox::state::locked;

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(10);
const KNOWN: &str =
    "select unsettled::text from outflow.outbox where relation = $1::oid for update";
const WRITE: &str =
    "update outflow.outbox set unsettled = $2::text::jsonb where relation = $1::oid";

impl PgOutbox {
    /// Tries the rows that stayed behind again, if it is time.
    pub(in crate::relay::outbox) async fn try_unsettled(&self) -> Result<(), OutboxError> {
        let generation = {
            let mut state = locked(&self.state);
            let left_out = &mut state.left_out;
            if left_out.rows.is_empty()
                || left_out.tried.is_some_and(|tried| tried.elapsed() < PAUSE)
            {
                return Ok(());
            }
            left_out.tried = Some(Instant::now());
            state.generation
        };
        let client = Lease::new(self.connection().await?);
        let step = async {
            self.fence.enter(&client, generation).await.map_err(OutboxError::from)?;
            let known = ask(client.query_one(KNOWN, &[&self.table.oid])).await?;
            let known = of_text(known.get(0))?;
            let (named, others): (Vec<_>, Vec<_>) =
                known.into_iter().partition(|row| row.names == self.table.names);
            let (_, mut stay) = settle(&client, &self.table.sql.settle_recovered, &named).await?;
            stay.extend(others);
            ask(client.execute(WRITE, &[&self.table.oid, &to_text(&stay)])).await?;
            ask(client.batch_execute("commit")).await?;
            Ok(stay)
        };
        let stay = within(step).await?;
        drop(client.release());
        let mut state = locked(&self.state);
        if state.generation == generation {
            state.left_out = LeftOut::of(&stay);
        }
        Ok(())
    }
}
