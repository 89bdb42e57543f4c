-- How far behind an outbox is: the first event in line, and how many there are, counted up to a limit. Two scans of the
-- index from the same position: collecting the rows for one scan would write 100,000 of them to disk. The position is
-- there because rows that were deleted while an old transaction is open must be walked over each time.
select first.position, first.time, first.id, (
  select count(*) from (select from {table} as c where {waiting} order by c.{order} limit {cap}) as counted
) as events
from (select) as always
left join lateral (
  select {position} as position, {time} as time, left(c.{id}::text, 200) as id from {table} as c where {waiting} order by c.{order} limit 1
) as first on true
