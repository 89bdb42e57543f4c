//! The order itself: confirmed, rejected or cancelled by what stock and payment tell. Only from
//! `created`: whatever else it is, it was decided about before.

use std::collections::HashSet;

use uuid::Uuid;

use super::super::order::{
    AGGREGATE_TYPE, ORDER_CANCELLED, ORDER_CONFIRMED, ORDER_REJECTED, Status,
};
use super::many::Many;
use super::{HandlerError, Told, Work};

const DECIDE: &str = "update orders.orders
    set status = $2, cancelled_at = case when $2 = 'cancelled' then now() end
    where order_id = $1 and status = 'created'";

const DECIDE_MANY: &str = include_str!("../sql/decide_many.sql");

/// What becomes of an order, and the event that tells of it.
fn decision(event_type: &str) -> (Status, &'static str) {
    match event_type {
        "PaymentTaken" => (Status::Confirmed, ORDER_CONFIRMED),
        "StockRejected" => (Status::Rejected, ORDER_REJECTED),
        _ => (Status::Cancelled, ORDER_CANCELLED),
    }
}

impl Work<'_> {
    pub(super) async fn decide(&self, event_type: &str) -> Result<Told, HandlerError> {
        let (status, told) = decision(event_type);
        let decide = self.transaction.prepare_cached(DECIDE).await?;
        let decided =
            self.transaction.execute(&decide, &[&self.event.order_id, &status.name()]).await?;
        Ok((decided > 0).then(|| (AGGREGATE_TYPE, told, self.event.reason.clone())))
    }
}

impl Many<'_> {
    /// As [`Work::decide`]; all events are of one type.
    pub(super) async fn decide(&self, event_type: &str) -> Result<Vec<Told>, HandlerError> {
        let (status, told) = decision(event_type);
        let decide = self.transaction.prepare_cached(DECIDE_MANY).await?;
        let rows = self.transaction.query(&decide, &[&self.order_ids(), &status.name()]).await?;
        let mut decided: HashSet<Uuid> =
            rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let told = |reason: &Option<String>| (AGGREGATE_TYPE, told, reason.clone());
        Ok(self
            .events
            .iter()
            .map(|event| decided.remove(&event.order_id).then(|| told(&event.reason)))
            .collect())
    }
}
