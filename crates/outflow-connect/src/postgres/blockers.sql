-- Whom a session waits for: the oldest transaction first. What a role may not see is null.
select w.relation::regclass::text as relation, b.pid, a.application_name::text as application, a.usename::text as role,
  a.state::text as state,
  extract(epoch from clock_timestamp() - a.xact_start)::float8 as transaction_seconds,
  extract(epoch from clock_timestamp() - a.query_start)::float8 as query_seconds
from unnest(pg_catalog.pg_blocking_pids($1)) as b (pid)
left join pg_catalog.pg_stat_activity a on a.pid = b.pid
left join pg_catalog.pg_locks w on w.pid = $1 and not w.granted
where b.pid <> 0
order by a.xact_start nulls last
limit 1
