-- What the catalog knows of a kept table, beyond what every event table needs. $1 oid, $2 column of the transaction, $3 order
-- column.
select
  pg_catalog.pg_is_in_recovery() as is_standby,
  c.relkind = 'p' as is_partitioned,
  c.relhassubclass as has_children,
  case when c.relkind = 'p' then pg_catalog.pg_get_partkeydef(c.oid) end as partition_key,
  -- The table itself, or partitions of it.
  array(
    select m.oid::regclass::text from pg_catalog.pg_class m
    where m.relpersistence <> 'p' and (m.oid = c.oid or m.oid in (select inhrelid from pg_catalog.pg_inherits where inhparent = c.oid))
    order by 1
  ) as unlogged,
  (
    select pg_catalog.pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d
    where d.adrelid = c.oid and d.adnum = x.attnum and x.attgenerated = ''
  ) as xid_default,
  exists (
    select from pg_catalog.pg_index i
    where i.indrelid = c.oid and i.indisvalid and i.indpred is null and i.indkey[0] = x.attnum and i.indkey[1] = o.attnum
  ) as has_xid_index,
  exists (
    select from pg_catalog.pg_index i
    where i.indrelid = c.oid and i.indisvalid and i.indpred is null and i.indkey[0] = o.attnum
  ) as has_order_index
from pg_catalog.pg_class c
left join pg_catalog.pg_attribute x on x.attrelid = c.oid and x.attname = $2 and x.attnum > 0 and not x.attisdropped
left join pg_catalog.pg_attribute o on o.attrelid = c.oid and o.attname = $3 and o.attnum > 0 and not o.attisdropped
where c.oid = $1
