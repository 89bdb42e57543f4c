-- Items that have more or less reserved than the reservations say.
select i.sku || ': ' || i.reserved || ' reserved, reservations say ' || coalesce(r.held, 0)
from orders.inventory i
left join (
  select sku, sum(quantity) held
  from orders.reservations, unnest(skus, quantities) as item (sku, quantity)
  where state = 'held'
  group by sku
) r using (sku)
where i.reserved <> coalesce(r.held, 0)
