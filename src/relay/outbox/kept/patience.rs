//! Reads that may take longer than the sessions' limit, and what to say of one that took too long.

use super::super::refusal::{Failed, Said, ask, ask_for};
use super::super::session::Session;
use super::KeptOutbox;
use crate::relay::kept::pieces::Piece;
use crate::relay::kept::table::lacking_indexes;

/// Who reads.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) client: &'a Session,
    pub(super) piece: &'a Piece,
    /// Not one row alone: that it comes to its end says that the next one may, too.
    pub(super) is_whole: bool,
}

impl KeptOutbox {
    /// Waits for a read as long as it may take. With a limit of its own it is in a transaction, so
    /// that the session goes back to the pool as it was; a lent session has no other way. `said`:
    /// what the server said, of a result that was refused.
    pub(super) async fn patiently<T: Send>(
        &self,
        reader: Reader<'_>,
        read: impl Future<Output = Result<T, Failed>> + Send,
        said: impl Fn(&T) -> Option<&Said> + Send,
    ) -> Result<T, Failed> {
        let Reader { client, piece, is_whole } = reader;
        let stream = piece.stream.as_deref().unwrap_or_default();
        let turn = self.base.turn(client, &format!("{:x} {stream}", piece.slots)).await;
        let patience = &turn.patience;
        let is_in_transaction = patience.is_long() || client.is_lent();
        if is_in_transaction {
            client.begin(&format!("begin read only; {}", patience.set_local())).await?;
        }
        let read = ask_for(patience.answer_limit(), read).await;
        let refused = match &read {
            Ok(read) => said(read),
            Err(Failed::Said(said)) => Some(said),
            Err(Failed::Lost(_)) => None,
        };
        let is_lost = matches!(read, Err(Failed::Lost(_)));
        if !is_lost && is_in_transaction {
            ask(client.batch_execute("rollback")).await?;
        }
        if is_lost || refused.is_some() {
            if self.base.cut_off(&turn, refused) {
                let remedy = self.remedy(client, is_lost).await;
                self.base.tell_cut_off(&turn, &remedy);
            }
        } else if is_whole {
            self.base.answered(&turn);
        }
        read
    }

    /// What makes the next read faster: an index that is gone since the table was examined, if the
    /// server says so.
    async fn remedy(&self, client: &Session, is_lost: bool) -> String {
        let (config, oid) = (&self.base.config, self.base.table.oid);
        let lacking = if is_lost || client.is_lent() {
            None
        } else {
            ask(lacking_indexes(client.client(), config, &self.keep, oid)).await.ok()
        };
        match lacking {
            None => "`outflow check` says if an index is missing".to_owned(),
            Some(none) if none.is_empty() => "no index is missing; other reasons are old \
                statistics (run analyze), a cold cache, and a busy disk"
                .to_owned(),
            Some(statements) => format!("an index is missing, run: {}", statements.join(" ")),
        }
    }
}
