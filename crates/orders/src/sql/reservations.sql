-- Notes what several orders hold. One row comes in for each order and sku.
insert into orders.reservations (order_id, skus, quantities, state)
select order_id, array_agg(sku order by place), array_agg(quantity order by place), 'held'
from unnest($1::uuid[], $2::text[], $3::bigint[]) with ordinality as given (order_id, sku, quantity, place)
group by order_id
