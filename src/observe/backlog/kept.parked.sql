-- How many of the unread events are for these streams. Among the first ones only, so that the cost is bounded.
select waiting.stream, count(*) as events
from (
  select {stream} as stream from {table} as c where {unread} order by c.{xid}, c.{order} limit {cap}
) as waiting
where waiting.stream collate "C" = any ($1::text[])
group by waiting.stream
