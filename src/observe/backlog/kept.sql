-- How far behind a kept outbox is: the first event that nobody has read, and how many there are, counted up to a limit. In
-- the order of the index by transactions, whose beginning is long read: the condition on unread rows says where it ends.
-- A look may start behind that: what is read already must not be walked over each time.
select first.xid, first.position, first.time, first.id, (
  select count(*) from (
    select from {table} as c where (c.{xid}, c.{order}) >= ($1::text::xid8, $2::bigint) and {unread}
    order by c.{xid}, c.{order} limit {cap}
  ) as counted
) as events
from (select) as always
left join lateral (
  select c.{xid}::text as xid, c.{order}::bigint as position, {time} as time, left(c.{id}::text, 200) as id
  from {table} as c where (c.{xid}, c.{order}) >= ($1::text::xid8, $2::bigint) and {unread}
  order by c.{xid}, c.{order} limit 1
) as first on true
