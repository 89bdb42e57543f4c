-- How `outflow migrate` registered the table, and whether the relay may use outflow's own tables.
select
  journal::text,
  pg_catalog.has_table_privilege('outflow.outbox', 'update') as may_raise,
  pg_catalog.has_table_privilege('outflow.member', 'insert')
    and pg_catalog.has_table_privilege('outflow.member', 'select')
    and pg_catalog.has_table_privilege('outflow.member', 'delete') as may_join,
  pg_catalog.has_table_privilege('outflow.dead_letter', 'insert') as may_bury
from outflow.outbox where relation = $1::oid
