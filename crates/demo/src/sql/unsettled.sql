-- Orders whose state does not go with that of their stock and their payment: on the way at first,
-- wrong at the end.
select order_id::text || ': order ' || o.status || ', stock ' || coalesce(r.state, 'none')
  || ', payment ' || coalesce(p.state, 'none')
from orders.orders o
left join orders.reservations r using (order_id)
left join orders.payments p using (order_id)
where case o.status
  when 'confirmed' then r.state = 'held' and p.state = 'taken'
  when 'rejected' then r.state = 'rejected' and p.state is null
  when 'cancelled' then r.state = 'released' and p.state in ('failed', 'void', 'refunded')
    or r.state = 'rejected' and p.state = 'void'
  else false
end is not true
limit 20
