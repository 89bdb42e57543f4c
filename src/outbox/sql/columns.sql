-- The columns of the event table; a domain counts as its base type.
select a.attname::text as name, coalesce(nullif(t.typbasetype, 0), t.oid)::regtype::text as type
from pg_catalog.pg_attribute a
join pg_catalog.pg_type t on t.oid = a.atttypid
where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
