-- The members of an outbox that live: those whose session still holds its seat lock. A crashed member's lock disappears
-- with its connection: no heartbeat rows, no clocks.
select m.number, m.mapping
from outflow.member m
join pg_catalog.pg_locks l
  on l.locktype = 'advisory' and l.granted and l.objsubid = 2
  and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
  and l.classid = $2::integer::oid and l.objid = m.number::oid
where m.relation = $1::oid
order by m.number
