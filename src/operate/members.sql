-- How an outbox is registered, and who works on it: a row for each member that lives, or one row without a member. A
-- member lives as long as a session holds its seat, an advisory lock; see `outflow::outbox::lock`.
select o.generation, m.report, m.number, m.host, m.pid, m.version, m.started_at,
  (select count(*) from unnest(o.slots) as owner where owner = m.number) as slots,
  -- The member that owns slot 0 holds this lock while it sleeps, and then no member works.
  exists (
    select from pg_catalog.pg_locks w
    where w.locktype = 'advisory' and w.granted and w.objsubid = 2 and w.mode = 'ExclusiveLock'
      and w.database = (select oid from pg_catalog.pg_database where datname = current_database())
      and w.classid = $4::integer::oid and w.objid = c.oid
  ) as asleep
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join outflow.outbox o on o.relation = c.oid
left join (
  outflow.member m
  join pg_catalog.pg_locks l
    on l.locktype = 'advisory' and l.granted and l.objsubid = 2
    and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
    and l.classid = $3::integer::oid and l.objid = m.number::oid
) on m.relation = c.oid
where n.nspname = $1 and c.relname = $2
order by m.number
