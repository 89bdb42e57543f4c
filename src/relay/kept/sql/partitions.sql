-- The partitions of a table: which values each takes, and whether this role may empty it.
select
  p.oid,
  p.oid::regclass::text as name,
  pg_catalog.pg_get_expr(p.relpartbound, p.oid) as bound,
  case when p.relkind in ('r', 'p') then pg_catalog.has_table_privilege(p.oid, 'truncate') else false end as may_truncate
from pg_catalog.pg_inherits i
join pg_catalog.pg_class p on p.oid = i.inhrelid
where i.inhparent = $1 and p.relispartition
order by p.oid
