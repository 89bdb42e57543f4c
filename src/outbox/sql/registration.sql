-- How `outflow migrate` registered the table, and whether outflow's own tables are of this version.
select
  journal::text,
  exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'outflow.dead_letter'::regclass and attname = 'route' and not attisdropped
  ) as is_current
from outflow.outbox where relation = $1::oid
