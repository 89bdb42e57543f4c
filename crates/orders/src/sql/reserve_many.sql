-- Takes so much of each sku, or nothing of any: as many rows as skus, or none. See reserve.sql.
with wanted as (
  select sku, quantity from unnest($1::text[], $2::bigint[]) as wanted (sku, quantity)
), enough as materialized (
  select inventory.sku
  from orders.inventory join wanted using (sku)
  where inventory.on_hand - inventory.reserved >= wanted.quantity
  order by inventory.sku
  for update of inventory
)
update orders.inventory
set reserved = inventory.reserved + wanted.quantity
from wanted
where inventory.sku = wanted.sku and (select count(*) from enough) = (select count(*) from wanted)
