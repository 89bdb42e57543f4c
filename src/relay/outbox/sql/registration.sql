-- How `outflow migrate` registered the table, and whether outflow's own tables are of this version.
select
  journal::text,
  (
    select count(*) from pg_catalog.pg_attribute
    where not attisdropped
      and ((attrelid = 'outflow.dead_letter'::regclass and attname = 'route')
        or (attrelid = 'outflow.dead_letter'::regclass and attname = 'missing')
        or (attrelid = 'outflow.member'::regclass and attname = 'report')
        or (attrelid = 'outflow.outbox'::regclass and attname = 'unsettled')
        or (attrelid = 'outflow.dead_letter'::regclass and attname = 'kept')
        or (attrelid = to_regclass('outflow.position') and attname = 'history'))
  ) = 6
  and to_regprocedure('outflow.number_and_wake()') is not null
  and to_regprocedure('outflow.number()') is not null
  and to_regclass('outflow.witness') is not null
  and to_regclass('outflow.pause') is not null
  and to_regclass('outflow.position') is not null as is_current
from outflow.outbox where relation = $1::oid
