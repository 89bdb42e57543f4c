//! Stock: reserved when an order is placed, given back when it is cancelled or cannot be paid.

use std::collections::{BTreeMap, HashSet};

use tokio_postgres::types::ToSql;

use super::many::Many;
use super::{HandlerError, Told, Work, quantities};

const RESERVE: &str = include_str!("../sql/reserve.sql");
const RESERVE_MANY: &str = include_str!("../sql/reserve_many.sql");
const RESERVATIONS: &str = include_str!("../sql/reservations.sql");
const STOCK_UNKNOWN: &str = include_str!("../sql/stock_unknown.sql");
const REJECT: &str = include_str!("../sql/reject.sql");
const RELEASE: &str = include_str!("../sql/release.sql");

type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Work<'_> {
    /// `None`: done before.
    pub(super) async fn stock(&self, event_type: &str) -> Result<Option<Told>, HandlerError> {
        match event_type {
            "OrderCreated" => self.reserve().await,
            _ => self.release(event_type).await.map(Some),
        }
    }

    /// A group that was made again reads the stream from its beginning, which may be older than
    /// what the inbox knows: an order that has a reservation, of whatever state, was handled.
    async fn reserve(&self) -> Result<Option<Told>, HandlerError> {
        let (transaction, order_id) = (self.transaction, &self.event.order_id);
        let (skus, wanted) = quantities(&self.event.items);
        let reserve = transaction.prepare_cached(RESERVE).await?;
        let mut reserved = transaction.execute(&reserve, &[order_id, &skus, &wanted]).await?;
        if reserved == 0 {
            // Seldom: a sku that nobody has ordered before. Somebody may order it for the first
            // time at this moment, and add it before we do: there may be enough even if nothing was
            // added here.
            let stock_unknown = transaction.prepare_cached(STOCK_UNKNOWN).await?;
            transaction.execute(&stock_unknown, &[&skus, &self.rules.new_sku_on_hand]).await?;
            reserved = transaction.execute(&reserve, &[order_id, &skus, &wanted]).await?;
        }
        if reserved == 0 {
            let reject = transaction.prepare_cached(REJECT).await?;
            let rejected = transaction.execute(&reject, &[order_id, &skus, &wanted]).await?;
            let told = ("stock", "StockRejected", Some("not enough on hand".to_owned()));
            return Ok((rejected > 0).then_some(Some(told)));
        }
        Ok(Some(Some(("stock", "StockReserved", None))))
    }

    /// Nothing is told of an order that holds nothing: it was rejected, or has given it back
    /// before.
    async fn release(&self, cause: &str) -> Result<Told, HandlerError> {
        let release = self.transaction.prepare_cached(RELEASE).await?;
        let released = self.transaction.execute(&release, &[&self.event.order_id]).await?;
        let reason = if cause == "PaymentFailed" {
            self.event.reason.clone()
        } else {
            Some("cancelled".to_owned())
        };
        Ok((released > 0).then_some(("stock", "StockReleased", reason)))
    }
}

impl Many<'_> {
    /// As [`Work::reserve`], if there is enough for all of them. The stock comes last: its rows are
    /// what the others wait for.
    pub(super) async fn reserve(&self) -> Result<(), HandlerError> {
        let (mut orders, mut skus, mut quantities_of, mut total) =
            (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        for event in &self.events {
            let (wanted_skus, wanted) = quantities(&event.items);
            for (sku, quantity) in wanted_skus.into_iter().zip(wanted) {
                orders.push(event.order_id);
                skus.push(sku);
                quantities_of.push(quantity);
                *total.entry(sku).or_insert(0_i64) += quantity;
            }
        }
        let distinct: HashSet<_> = orders.iter().collect();
        if distinct.len() != self.events.len() {
            return Err(HandlerError::retry(
                "an order without items, or two events about one order",
            ));
        }
        let (total_skus, total): (Vec<&str>, Vec<i64>) = total.into_iter().unzip();
        let transaction = self.transaction;
        let note = transaction.prepare_cached(RESERVATIONS).await?;
        let reserve = transaction.prepare_cached(RESERVE_MANY).await?;
        let (holding, taking): (Values<'_>, Values<'_>) =
            (&[&orders, &skus, &quantities_of], &[&total_skus, &total]);
        let (noted, reserved) = tokio::join!(biased; transaction.execute(&note, holding),
            transaction.execute(&reserve, taking));
        noted?;
        if reserved? > 0 {
            return Ok(());
        }
        let stock_unknown = transaction.prepare_cached(STOCK_UNKNOWN).await?;
        let new = transaction
            .execute(&stock_unknown, &[&total_skus, &self.rules.new_sku_on_hand])
            .await?;
        if new > 0 && transaction.execute(&reserve, taking).await? > 0 {
            return Ok(());
        }
        Err(HandlerError::retry("not enough on hand for all of them"))
    }
}
