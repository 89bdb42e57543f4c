//! Stock: reserved when an order is placed, given back when it is cancelled or cannot be paid.

use super::{Failed, Told, Work, quantities};

const RESERVE: &str = include_str!("../sql/reserve.sql");
const STOCK_UNKNOWN: &str = include_str!("../sql/stock_unknown.sql");
const REJECT: &str = include_str!("../sql/reject.sql");
const RELEASE: &str = include_str!("../sql/release.sql");

impl Work<'_> {
    pub(super) async fn stock(&self, event_type: &str) -> Result<Told, Failed> {
        match event_type {
            "OrderCreated" => self.reserve().await,
            _ => self.release(event_type).await,
        }
    }

    async fn reserve(&self) -> Result<Told, Failed> {
        let (transaction, order_id) = (self.transaction, &self.event.order_id);
        let (skus, wanted) = quantities(&self.event.items);
        let reserve = transaction.prepare_cached(RESERVE).await?;
        let mut reserved = transaction.execute(&reserve, &[order_id, &skus, &wanted]).await?;
        if reserved == 0 {
            // Seldom: a sku that nobody has ordered before.
            let stock_unknown = transaction.prepare_cached(STOCK_UNKNOWN).await?;
            if transaction.execute(&stock_unknown, &[&skus, &self.rules.new_sku_on_hand]).await? > 0 {
                reserved = transaction.execute(&reserve, &[order_id, &skus, &wanted]).await?;
            }
        }
        if reserved == 0 {
            let reject = transaction.prepare_cached(REJECT).await?;
            transaction.execute(&reject, &[order_id, &skus, &wanted]).await?;
            return Ok(Some(("stock", "StockRejected", Some("not enough on hand".to_owned()))));
        }
        Ok(Some(("stock", "StockReserved", None)))
    }

    /// Nothing is told of an order that holds nothing: it was rejected, or has given it back before.
    async fn release(&self, cause: &str) -> Result<Told, Failed> {
        let release = self.transaction.prepare_cached(RELEASE).await?;
        let released = self.transaction.execute(&release, &[&self.event.order_id]).await?;
        let reason = if cause == "PaymentFailed" { self.event.reason.clone() } else { Some("cancelled".to_owned()) };
        Ok((released > 0).then_some(("stock", "StockReleased", reason)))
    }
}
