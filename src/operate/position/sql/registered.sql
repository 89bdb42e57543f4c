-- How a kept outbox is registered, and which Postgres this is. $1 schema, $2 name of the table, $3 its time column or ''.
select o.relation::oid as oid, o.journal::text as journal, o.generation,
  (select system_identifier from pg_catalog.pg_control_system())::text as system,
  case when not pg_catalog.pg_is_in_recovery()
    then left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) end as timeline,
  exists (
    select from pg_catalog.pg_attribute a
    where a.attrelid = c.oid and a.attname = $3 and a.attnum > 0 and not a.attisdropped
  ) as has_time
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join outflow.outbox o on o.relation = c.oid
where n.nspname = $1 and c.relname = $2
