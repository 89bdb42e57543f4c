-- How an outbox is registered.
select o.relation::oid as oid, o.generation
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join outflow.outbox o on o.relation = c.oid
where n.nspname = $1 and c.relname = $2
