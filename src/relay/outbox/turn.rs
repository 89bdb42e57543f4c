//! One look for the next rows, whose time is taken: what it may take, and what follows if it takes
//! longer.

use std::time::{Duration, Instant};

use super::patience::Patience;
use super::pg_outbox::PgOutbox;
use super::refusal::{Said, ask};
use super::session::Session;
use super::state::locked;

/// A session whose client has gone would otherwise go on to its end, and hold vacuum back. Servers
/// before Postgres 14 do not know it.
const NOTICE_CLIENT: &str = "set client_connection_check_interval = '10s'";
/// What to do about a claim that deletes.
pub(super) const REMEDY: &str = "`outflow check` says if the index of the order column is \
    missing; other reasons are a cold cache, locks, and dead rows that an old snapshot or a \
    replication slot holds back";

/// One look: what it may take, and how long it has taken.
pub(super) struct Turn {
    pub(super) patience: Patience,
    pub(super) of: String,
    began: Instant,
}

impl PgOutbox {
    /// A look begins. `of`: of what.
    pub(super) async fn turn(&self, client: &Session, of: &str) -> Turn {
        let patience = locked(&self.state).patience.clone();
        if patience.is_long()
            && !client.is_lent()
            && let Err(error) = ask(client.batch_execute(NOTICE_CLIENT)).await
        {
            let outbox = &self.config.name;
            tracing::debug!(outbox, ?error, "a look whose client goes away is not ended early");
        }
        Turn { patience, of: of.to_owned(), began: Instant::now() }
    }

    /// It came to its end.
    pub(super) fn answered(&self, turn: &Turn) {
        locked(&self.state).patience.answered(&turn.of, turn.began.elapsed());
    }

    /// The server has ended it, or has not answered. Returns whether it took too long, which the
    /// caller tells by [`tell_cut_off`](Self::tell_cut_off).
    pub(super) fn cut_off(&self, turn: &Turn, said: Option<&Said>) -> bool {
        said.is_none_or(Said::was_cut_off)
            && locked(&self.state).patience.cut_off(&turn.of, turn.began.elapsed())
    }

    /// `remedy`: what whoever runs the server can do.
    pub(super) fn tell_cut_off(&self, turn: &Turn, remedy: &str) {
        let next = locked(&self.state).patience.limit();
        let seconds = |time: Duration| format!("{} s", time.as_secs());
        tracing::warn!(
            outbox = self.config.name,
            took = seconds(turn.began.elapsed()),
            limit = seconds(turn.patience.limit()),
            next_limit = seconds(next),
            "the search for the next events took too long and was ended: the next one may take \
                longer; {remedy}"
        );
    }
}
