//! Money: taken once stock is reserved, given back when the order is cancelled. The bank is a limit.

use super::{Failed, Told, Work};

const PAY: &str =
    "insert into orders.payments (order_id, amount, state) values ($1, $2, $3) on conflict (order_id) do nothing";
const REFUND: &str =
    "update orders.payments set state = 'refunded', changed_at = now() where order_id = $1 and state = 'taken'";

impl Work<'_> {
    pub(super) async fn pay(&self, event_type: &str) -> Result<Told, Failed> {
        match event_type {
            "StockReserved" => self.take().await,
            _ => self.refund().await,
        }
    }

    async fn take(&self) -> Result<Told, Failed> {
        let accepted = self.event.total_amount <= self.rules.payment_max;
        let (state, told, reason) = if accepted {
            ("taken", "PaymentTaken", None)
        } else {
            ("failed", "PaymentFailed", Some(format!("declined: more than {}", self.rules.payment_max)))
        };
        let pay = self.transaction.prepare_cached(PAY).await?;
        let noted = self.transaction.execute(&pay, &[&self.event.order_id, &self.event.total_amount, &state]).await?;
        // None: the order was cancelled before, and its payment is void.
        Ok((noted > 0).then_some(("payment", told, reason)))
    }

    async fn refund(&self) -> Result<Told, Failed> {
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
