-- The time comes from Postgres: it is the transaction's, so that the order, the event's payload and the outbox row carry
-- the same one.
insert into orders.orders (order_id, customer_id, status, currency, items, total_amount)
values ($1, $2, 'created', $3, $4::text::jsonb, $5)
returning created_at
