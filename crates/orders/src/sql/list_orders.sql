-- Newest first: ids are UUIDs of version 7, so that they ascend with time, and one is enough to go on from. A condition
-- that was not asked for is null; the planner sees the values (the statement is not prepared) and leaves it out.
select order_id, customer_id, status, currency, items::text as items, total_amount, created_at
from orders.orders
where ($1 is null or customer_id = $1) and ($2 is null or status = $2) and ($3 is null or order_id < $3)
order by order_id desc
limit $4
