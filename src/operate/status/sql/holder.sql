-- The oldest transaction of somebody else that has locked rows of a table, or the table: what keeps its events from being
-- taken while nothing else does. Of other roles Postgres tells the age only to those who may see it (pg_monitor).
select a.pid, a.application_name::text as application, a.state::text as state,
  extract(epoch from clock_timestamp() - a.xact_start)::float8 as seconds
from pg_catalog.pg_locks l
join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'relation' and l.granted
  and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
  and l.relation = (
    select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = $1 and c.relname = $2
  )
  and l.mode in ('RowShareLock', 'RowExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  and a.application_name not like 'outflow%'
order by a.xact_start nulls last
limit 1
