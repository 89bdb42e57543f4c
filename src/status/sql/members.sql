-- Who works on an outbox: the members whose session still holds its seat lock, and how many slots each owns.
select m.number, m.host, m.pid, m.version, m.started_at,
  (select count(*) from unnest(o.slots) as owner where owner = m.number) as slots
from outflow.member m
join outflow.outbox o on o.relation = m.relation
join pg_catalog.pg_locks l
  on l.locktype = 'advisory' and l.granted and l.objsubid = 2
  and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
  and l.classid = $2::integer::oid and l.objid = m.number::oid
where m.relation = $1::oid
order by m.number
