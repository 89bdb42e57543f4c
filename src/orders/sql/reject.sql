insert into orders.reservations (order_id, skus, quantities, state) values ($1, $2, $3, 'rejected')
