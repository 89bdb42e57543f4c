-- The order column: an index to walk, and the cache of the sequence that numbers it.
select
  exists (
    select from pg_catalog.pg_index i
    where i.indrelid = c.oid and i.indisvalid and i.indkey[0] = a.attnum and i.indpred is null
  ) as has_index,
  s.sequence::text as sequence,
  (select seqcache from pg_catalog.pg_sequence where seqrelid = s.sequence) as cache
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = $3
-- The sequence that the default calls, whether the column owns it or not; or that of its identity.
left join lateral (
  select coalesce(
    (select d.refobjid from pg_catalog.pg_attrdef f
      join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_attrdef'::regclass and d.objid = f.oid
      join pg_catalog.pg_class k on k.oid = d.refobjid and k.relkind = 'S'
      where f.adrelid = c.oid and f.adnum = a.attnum and d.refclassid = 'pg_catalog.pg_class'::regclass limit 1),
    (select d.objid from pg_catalog.pg_depend d
      join pg_catalog.pg_class k on k.oid = d.objid and k.relkind = 'S'
      where d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
        and d.refobjid = c.oid and d.refobjsubid = a.attnum and d.deptype in ('a', 'i') limit 1)
  )::regclass as sequence
) as s on true
where n.nspname = $1 and c.relname = $2
