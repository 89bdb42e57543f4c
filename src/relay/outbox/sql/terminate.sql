-- Ends the sessions that hold the fence shared, those that this role may end. Returns how many were ended, and the roles of
-- the others.
select
  count(*) filter (where case when h.may then pg_catalog.pg_terminate_backend(h.pid) else false end) as terminated,
  string_agg(distinct pg_catalog.quote_ident(h.role), ', ') filter (where not h.may) as others
from (
  select
    l.pid, r.rolname::text as role,
    (not r.rolsuper or (select rolsuper from pg_catalog.pg_roles where rolname = current_user))
      and (pg_catalog.pg_has_role(r.oid, 'usage') or pg_catalog.pg_has_role('pg_signal_backend', 'usage')) as may
  from pg_catalog.pg_locks l
  join pg_catalog.pg_stat_activity a on a.pid = l.pid
  join pg_catalog.pg_roles r on r.oid = a.usesysid
  where l.locktype = 'advisory' and l.granted and l.mode = 'ShareLock' and l.pid <> pg_catalog.pg_backend_pid()
    and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
    and l.classid = $1::integer::oid and l.objid = $2::integer::oid and l.objsubid = 2
) h
