-- What the catalog knows of the event table, whether the relay may work on it, and how it is registered.
select
  c.oid,
  c.relkind::text as kind,
  exists (select from pg_catalog.pg_inherits where inhparent = c.oid) as has_children,
  exists (select from pg_catalog.pg_trigger where tgrelid = c.oid and tgname = 'outflow_wake' and tgenabled <> 'D') as has_trigger,
  pg_catalog.has_table_privilege(c.oid, 'select') as may_select,
  pg_catalog.has_table_privilege(c.oid, 'delete') as may_delete,
  pg_catalog.has_any_column_privilege(c.oid, 'update') as may_update,
  current_user::text as role
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')
