-- How `outflow migrate` registered the table, and whether the relay may use outflow's own tables,
-- and whether those are of this version.
select
  journal::text,
  exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'outflow.dead_letter'::regclass and attname = 'route' and not attisdropped
  ) as is_current,
  pg_catalog.has_table_privilege('outflow.outbox', 'update') as may_raise,
  pg_catalog.has_table_privilege('outflow.member', 'insert') as may_join,
  pg_catalog.has_table_privilege('outflow.dead_letter', 'insert') as may_bury
from outflow.outbox where relation = $1::oid
