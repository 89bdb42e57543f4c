-- The row is locked and its status was checked (lock_order.sql); one row, or something is very wrong.
update orders.orders
set status = 'cancelled', cancelled_at = now()
where order_id = $1
returning cancelled_at
