-- One row per sku, in the order of the skus: two events that touch the same skus lock them in the same order and cannot
-- deadlock. A cancelled order comes here with negative quantities.
insert into orders.inventory (sku, reserved)
select sku, quantity
from unnest($1::text[], $2::bigint[]) as wanted (sku, quantity)
order by sku
on conflict (sku) do update set reserved = inventory.reserved + excluded.reserved
