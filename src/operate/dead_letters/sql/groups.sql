-- What the newest dead letters have in common. $1 how many are looked at, $2 how many groups there may be, $3 how long
-- a type may be to be asked for again, $4 the outbox and $5 the reason, or null. The group with the most letters comes first.
with looked as (
  select outbox, reason, stream, died_at, id,
    case when octet_length(type) <= $3 then coalesce('\x' || (bytes ->> 'type'), type) end as kind
  from outflow.dead_letter
  where pending is null and retired_at is null
    and ($4::text is null or outbox = $4)
    and ($5::text is null or reason = $5)
  order by id desc
  limit $1::bigint
)
select outbox, reason, stream, kind, count(*) as letters, min(died_at) as first_died_at, max(died_at) as last_died_at,
  (sum(count(*)) over ())::bigint as looked, count(*) over () as groups
from looked
group by outbox, reason, stream, kind
order by letters desc, outbox, reason, stream nulls first, kind nulls first
limit $2::bigint
