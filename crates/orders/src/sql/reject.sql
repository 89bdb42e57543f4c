-- No row when it was decided about this order before: its event comes again, after the inbox has forgotten it.
insert into orders.reservations (order_id, skus, quantities, state) values ($1, $2, $3, 'rejected')
on conflict (order_id) do nothing
