-- Locked before the event is written: whoever else wants to write an event of this order waits here, so that the outbox
-- ids of one key ascend in the order of their commits.
select order_id, customer_id, status, currency, items::text as items, total_amount, created_at
from orders.orders
where order_id = $1
for update
