-- How many more sessions this role may open: the least of what role, database and server allow. And whether relays have
-- theirs already.
with used as (
  select count(*) filter (where usesysid = r.oid) as by_role, count(*) filter (where datid = d.oid) as of_database,
    count(*) filter (where backend_type = 'client backend' or backend_type is null) as of_server,
    count(*) filter (where application_name = 'outflow control') as relays
  from pg_catalog.pg_stat_activity, pg_catalog.pg_roles r, pg_catalog.pg_database d
  where r.rolname = current_user and d.datname = current_database()
)
select
  relays,
  least(
    case when r.rolconnlimit < 0 or r.rolsuper then 2147483647 else r.rolconnlimit - by_role end,
    case when d.datconnlimit < 0 or r.rolsuper then 2147483647 else d.datconnlimit - of_database end,
    current_setting('max_connections')::bigint - of_server
      - case when r.rolsuper then 0 else current_setting('superuser_reserved_connections')::bigint end
  )::bigint as free
from used, pg_catalog.pg_roles r, pg_catalog.pg_database d
where r.rolname = current_user and d.datname = current_database()
