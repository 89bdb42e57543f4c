-- Locked in the order of the ids, and looked at again once locked: whoever else decides about one of them was first then.
with open as materialized (
  select order_id from orders.orders where order_id = any($1) and status = 'created' order by order_id for update
)
update orders.orders
set status = $2, cancelled_at = case when $2 = 'cancelled' then now() end
from open
where orders.order_id = open.order_id
returning orders.order_id
