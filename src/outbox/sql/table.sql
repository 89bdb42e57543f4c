-- What the catalog knows of the event table.
select
  c.oid,
  c.relkind::text as kind,
  exists (select from pg_catalog.pg_inherits where inhparent = c.oid) as has_children,
  exists (select from pg_catalog.pg_trigger where tgrelid = c.oid and tgname = 'outflow_wake' and tgenabled <> 'D') as has_trigger
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')
