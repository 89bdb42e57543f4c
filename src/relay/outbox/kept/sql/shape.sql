-- What retention must know of a kept table. $1 oid, $2 the column of the event's time.
select
  c.relhassubclass as has_children,
  case when c.relkind = 'p' then pg_catalog.pg_get_partkeydef(c.oid) end as partition_key,
  -- As Postgres prints it.
  case when c.relkind = 'p' then
    position(pg_catalog.quote_ident($2) in pg_catalog.pg_get_partkeydef(c.oid)) > 0
  end as is_by_time,
  (
    select pg_catalog.format_type(a.atttypid, null) from pg_catalog.pg_attribute a
    where a.attrelid = c.oid and a.attname = $2 and a.attnum > 0 and not a.attisdropped
  ) as time_type,
  pg_catalog.has_table_privilege(c.oid, 'delete') as may_delete,
  o.generation,
  extract(epoch from pg_catalog.clock_timestamp())::bigint as now,
  current_user::text as role
from pg_catalog.pg_class c
join outflow.outbox o on o.relation = c.oid
where c.oid = $1::oid
