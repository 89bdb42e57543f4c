-- The columns of a table. A domain counts as its base type.
select
  a.attname::text as name,
  coalesce(nullif(t.typbasetype, 0), t.oid)::regtype::text as type,
  a.attnotnull as not_null,
  (a.atthasdef and a.attgenerated = '') or a.attidentity <> '' as has_default,
  a.attgenerated <> '' as is_generated
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_type t on t.oid = a.atttypid
where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
