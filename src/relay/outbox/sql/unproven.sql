-- What stands between a table and its proof (proof.sql), for people. $1 oid, $2 order column.
select
  format('%I.%I', n.nspname, c.relname) as name,
  c.relkind = 'r' and not c.relhassubclass and not c.relispartition as is_plain,
  exists (select from pg_catalog.pg_subscription_rel where srrelid = c.oid) as is_replicated,
  (
    select min(r.tgname)::text from pg_catalog.pg_trigger r
    where r.tgrelid = c.oid and r.tgtype & 7 = 7 and r.tgenabled <> 'D'
  ) as row_trigger,
  case
    when t.oid is null then 'missing'
    when t.tgenabled = 'D' then 'disabled'
    when t.tgtype & 7 <> 6 or t.tgqual is not null
      or t.tgfoid not in ('outflow.number_and_wake()'::regprocedure, 'outflow.number()'::regprocedure) then 'older'
    when t.tgenabled <> 'A' then 'origin'
  end as trigger,
  a.attidentity::text as identity,
  quote_ident(qn.nspname) || '.' || quote_ident(q.relname) as sequence,
  coalesce(s.seqincrement > 0 and s.seqcache = 1 and not s.seqcycle, false) as is_ascending,
  coalesce(has_sequence_privilege(q.oid, 'select'), false) as may_read,
  current_user::text as role
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = $2 and not a.attisdropped
left join pg_catalog.pg_trigger t on t.tgrelid = c.oid and t.tgname = 'outflow_wake'
left join pg_catalog.pg_depend d
  on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = c.oid and d.refobjsubid = a.attnum
  and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'i'
left join pg_catalog.pg_sequence s on s.seqrelid = d.objid
left join pg_catalog.pg_class q on q.oid = s.seqrelid
left join pg_catalog.pg_namespace qn on qn.oid = q.relnamespace
where c.oid = $1
