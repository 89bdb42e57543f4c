-- Skus that the inventory does not know get what a new sku has on hand.
insert into orders.inventory (sku, on_hand, reserved)
select sku, $2, 0 from unnest($1::text[]) as wanted (sku) order by sku
on conflict (sku) do nothing
