-- Items as text: the money in them is text already, and stays it.
select order_id, customer_id, status, currency, items::text as items, total_amount, created_at
from orders.orders
where order_id = $1
