-- The registered tables among these, by schema and name.
select w.n::integer, o.relation::oid as relation
from unnest($1::text[], $2::text[]) with ordinality as w (schema, name, n)
join pg_catalog.pg_namespace n on n.nspname = w.schema
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name
join outflow.outbox o on o.relation = c.oid
