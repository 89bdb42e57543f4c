-- How an outbox is registered, and who works on it. A member is who holds the seat: a session lock, gone with its
-- session. The row tells who that is; rows of earlier starts stay, so the last one counts.
select
  o.generation,
  exists (
    select from pg_catalog.pg_locks l
    where l.locktype = 'advisory' and l.granted and l.objsubid = 2
      and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
      and l.classid = $3::integer::oid and l.objid = c.oid
  ) as is_manned,
  m.number, m.host, m.pid, m.version, m.started_at
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join outflow.outbox o on o.relation = c.oid
left join lateral (
  select * from outflow.member where relation = c.oid order by number desc limit 1
) m on true
where n.nspname = $1 and c.relname = $2
