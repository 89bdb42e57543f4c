select event_id::text, handled_at
from orders.inbox
where consumer_group = $1
  and handled_at > $2
order by handled_at
