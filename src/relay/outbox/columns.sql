-- The columns of a table. A domain counts as the type that it is made of, through all its levels.
select
  a.attname::text as name,
  a.atttypid as declared_oid,
  base.oid as type_oid,
  base.oid::regtype::text as type,
  t.typcategory::text as category,
  a.attnotnull as not_null,
  (a.atthasdef and a.attgenerated = '') or a.attidentity <> '' as has_default,
  a.attgenerated <> '' as is_generated,
  coalesce(l.collisdeterministic, true) as is_deterministic
from pg_catalog.pg_attribute a
cross join lateral (
  with recursive level (oid, made_of) as (
    select oid, typbasetype from pg_catalog.pg_type where oid = a.atttypid
    union all
    select p.oid, p.typbasetype from level join pg_catalog.pg_type p on p.oid = level.made_of
  )
  select oid from level where made_of = 0
) as base
join pg_catalog.pg_type t on t.oid = base.oid
left join pg_catalog.pg_collation l on l.oid = a.attcollation
where a.attrelid = {table} and a.attnum > 0 and not a.attisdropped
order by a.attnum
