//! Money: taken once stock is reserved, given back when the order is cancelled. The bank is a
//! limit.

use std::collections::HashSet;

use rust_decimal::Decimal;
use uuid::Uuid;

use super::many::Many;
use super::{HandlerError, Rules, Told, Work};

const PAY: &str = "insert into orders.payments (order_id, amount, state) values ($1, $2, $3) on \
    conflict (order_id) do nothing";
const PAY_MANY: &str = include_str!("../sql/pay_many.sql");
const REFUND: &str = "update orders.payments set state = 'refunded', changed_at = now() where \
    order_id = $1 and state = 'taken'";

/// What becomes of a payment: its state, the event that tells of it, and why.
fn bank(amount: Decimal, rules: &Rules) -> (&'static str, &'static str, Option<String>) {
    if amount <= rules.payment_max {
        ("taken", "PaymentTaken", None)
    } else {
        ("failed", "PaymentFailed", Some(format!("declined: more than {}", rules.payment_max)))
    }
}

impl Work<'_> {
    pub(super) async fn pay(&self, event_type: &str) -> Result<Told, HandlerError> {
        match event_type {
            "StockReserved" => self.take().await,
            _ => self.refund().await,
        }
    }

    async fn take(&self) -> Result<Told, HandlerError> {
        let (state, told, reason) = bank(self.event.total_amount, &self.rules);
        let pay = self.transaction.prepare_cached(PAY).await?;
        let noted = self
            .transaction
            .execute(&pay, &[&self.event.order_id, &self.event.total_amount, &state])
            .await?;
        // None: the order was cancelled before, and its payment is void.
        Ok((noted > 0).then_some(("payment", told, reason)))
    }

    async fn refund(&self) -> Result<Told, HandlerError> {
        let pay = self.transaction.prepare_cached(PAY).await?;
        let void: (_, _, &str) = (&self.event.order_id, &self.event.total_amount, "void");
        if self.transaction.execute(&pay, &[void.0, void.1, &void.2]).await? > 0 {
            return Ok(None);
        }
        let refund = self.transaction.prepare_cached(REFUND).await?;
        let refunded = self.transaction.execute(&refund, &[&self.event.order_id]).await?;
        Ok((refunded > 0).then_some(("payment", "PaymentRefunded", Some("cancelled".to_owned()))))
    }
}

impl Many<'_> {
    /// As [`Work::pay`], for `StockReserved` alone.
    pub(super) async fn take(&self) -> Result<Vec<Told>, HandlerError> {
        let amounts: Vec<Decimal> = self.events.iter().map(|event| event.total_amount).collect();
        let decided: Vec<_> = amounts.iter().map(|amount| bank(*amount, &self.rules)).collect();
        let states: Vec<&str> = decided.iter().map(|(state, ..)| *state).collect();
        let pay = self.transaction.prepare_cached(PAY_MANY).await?;
        let rows = self.transaction.query(&pay, &[&self.order_ids(), &amounts, &states]).await?;
        let mut noted: HashSet<Uuid> =
            rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let told = self.events.iter().zip(decided);
        Ok(told
            .map(|(event, (_, told, reason))| {
                noted.remove(&event.order_id).then_some(("payment", told, reason))
            })
            .collect())
    }
}
