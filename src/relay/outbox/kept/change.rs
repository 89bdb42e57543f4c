//! A table that was kept, and that is to be drained by deleting: rows that were delivered are still
//! in it.

use tokio_postgres::Client;

use super::unread::{copies, unread};
use crate::relay::options::{Keep, KeepLayout, OnLoss, OutboxOptions};
use outflow_core::fault::{Fault, FaultKind};
use outflow_core::table_name::{quote_identifier, quote_literal};

/// What keeps a relay that deletes from this table: it would send every row again that was
/// delivered and kept. `xid`: the table's column of the transaction. `None`: nothing does.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn delivered_rows(
    client: &Client,
    config: &OutboxOptions,
    (oid, xid): (u32, &str),
) -> Result<Option<Fault>, tokio_postgres::Error> {
    let copies = copies(client, oid).await?;
    let table = config.table.quoted();
    let what = format!(
        "settle is \"delete\", but rows of {} were delivered and kept: outflow.position has \
            positions of it, and a relay that deletes would send all of them again",
        config.table
    );
    let fault = Fault::new(FaultKind::Unfit, what);
    let steps = "stop the relays that keep the rows, remove the rows that they have delivered";
    let forget = format!(
        "delete from outflow.position where relation = {}::regclass",
        quote_literal(&table)
    );
    Ok(match copies {
        Ok(copies) if copies.is_empty() => None,
        Ok(copies) => {
            let keep = Keep {
                xid: xid.to_owned(),
                keep: std::time::Duration::ZERO,
                on_loss: OnLoss::Resume,
                layout: KeepLayout::Plain,
            };
            let unread = unread(config, &keep, &copies, 't');
            Some(fault.remedy(format!(
                "{steps}, and with them what says so: begin; delete from {table} as t where t.{} \
                    is not null and not {unread}; {forget}; commit;",
                quote_identifier(xid)
            )))
        }
        Err(words) => Some(fault.remedy(format!("{words}: {steps} by hand, then run: {forget};"))),
    })
}
