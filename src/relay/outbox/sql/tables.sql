select n.nspname::text, c.relname::text, c.relkind::text
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I', 'c')
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'outflow')
