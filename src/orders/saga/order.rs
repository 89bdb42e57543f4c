//! The order itself: confirmed, rejected or cancelled by what stock and payment tell. Only from `created`: whatever else it
//! is, it was decided about before.

use super::super::order::{AGGREGATE_TYPE, ORDER_CANCELLED, ORDER_CONFIRMED, ORDER_REJECTED, Status};
use super::{Failed, Told, Work};

const DECIDE: &str = "update orders.orders
    set status = $2, cancelled_at = case when $2 = 'cancelled' then now() end
    where order_id = $1 and status = 'created'";

impl Work<'_> {
    pub(super) async fn decide(&self, event_type: &str) -> Result<Told, Failed> {
        let (status, told) = match event_type {
            "PaymentTaken" => (Status::Confirmed, ORDER_CONFIRMED),
            "StockRejected" => (Status::Rejected, ORDER_REJECTED),
            _ => (Status::Cancelled, ORDER_CANCELLED),
        };
        let decide = self.transaction.prepare_cached(DECIDE).await?;
        let decided = self.transaction.execute(&decide, &[&self.event.order_id, &status.name()]).await?;
        Ok((decided > 0).then(|| (AGGREGATE_TYPE, told, self.event.reason.clone())))
    }
}
