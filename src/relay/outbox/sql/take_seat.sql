-- One statement, so that the seat is taken before the member's row can be seen: whoever sees it
-- without its lock takes the member for dead.
with joined as (
  insert into outflow.member (relation, host, pid, version, mapping)
  select $1::oid, $2, $3, $4, $5
  from outflow.outbox
  where relation = $1::oid
  returning number
)
select number, pg_try_advisory_lock($6, number)
from joined
