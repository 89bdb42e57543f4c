-- Gives back what an order holds, if it still does: one row for each sku. In the order of the skus, as they are reserved.
with released as (
  update orders.reservations set state = 'released', changed_at = now()
  where order_id = $1 and state = 'held'
  returning skus, quantities
), given_back as materialized (
  select inventory.sku, wanted.quantity
  from released, unnest(released.skus, released.quantities) as wanted (sku, quantity)
  join orders.inventory on inventory.sku = wanted.sku
  order by inventory.sku
  for update of inventory
)
update orders.inventory
set reserved = inventory.reserved - given_back.quantity
from given_back
where inventory.sku = given_back.sku
