-- What the catalog knows of the event table.
select
  c.oid,
  c.relkind::text as kind,
  exists (select from pg_catalog.pg_inherits where inhparent = c.oid) as has_children,
  -- Otherwise there are texts that it cannot take.
  pg_catalog.current_setting('server_encoding') = 'UTF8' as takes_all_text,
  -- Without it, or with the one that does not notify, rows are found by polling.
  exists (
    select from pg_catalog.pg_trigger t
    join pg_catalog.pg_proc f on f.oid = t.tgfoid
    where t.tgrelid = c.oid and t.tgname = 'outflow_wake' and t.tgenabled in ('O', 'A') and f.proname <> 'number'
  ) as has_trigger
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')
