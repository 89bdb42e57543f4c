-- Who owns the 64 slots of a table, and the name of its journal. $1 schema, $2 name of the table.
select o.slots, o.journal::text as journal
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join outflow.outbox o on o.relation = c.oid
where n.nspname = $1 and c.relname = $2
