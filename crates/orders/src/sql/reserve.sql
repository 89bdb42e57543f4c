-- Reserves all of an order or nothing of it, and notes that it did: one row when it did, none when something is missing, or
-- when it was decided about this order before.
--
-- The rows are locked in the order of the skus: two orders that want the same skus cannot deadlock. Whoever waited for a
-- lock sees the row as it is now, here and in the update.
with wanted as (
  select sku, quantity from unnest($2::text[], $3::bigint[]) as wanted (sku, quantity)
), enough as materialized (
  select inventory.sku
  from orders.inventory join wanted using (sku)
  where inventory.on_hand - inventory.reserved >= wanted.quantity
  order by inventory.sku
  for update of inventory
), taken as (
  update orders.inventory
  set reserved = inventory.reserved + wanted.quantity
  from wanted
  where inventory.sku = wanted.sku and (select count(*) from enough) = (select count(*) from wanted)
    and not exists (select from orders.reservations where order_id = $1)
  returning inventory.sku
)
insert into orders.reservations (order_id, skus, quantities, state)
select $1, $2, $3, 'held'
where exists (select from taken)
