-- What lies in the way of a relay's delete: nothing of it is wrong by itself.
select
  c.relpersistence::text as persistence,
  array(
    select t.tgname::text from pg_catalog.pg_trigger t
    where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled in ('O', 'A')
      and t.tgtype & 1 = 1 and t.tgtype & 2 = 2 and t.tgtype & 8 = 8
  ) as before_triggers,
  array(
    select r.rulename::text from pg_catalog.pg_rewrite r
    where r.ev_class = c.oid and r.is_instead and r.ev_enabled in ('O', 'A') and r.ev_type = '4'
  ) as rules,
  array(
    select f.conrelid::regclass || '.' || f.conname from pg_catalog.pg_constraint f
    where f.confrelid = c.oid and f.contype = 'f' and f.confdeltype in ('a', 'r')
  ) as references_to_it,
  c.relreplident = 'n' or (c.relreplident = 'd' and not exists (
    select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisprimary
  )) as has_no_identity,
  array(
    select p.pubname::text from pg_catalog.pg_publication p
    where p.pubdelete and (p.puballtables or exists (
      select from pg_catalog.pg_publication_tables t
      where t.pubname = p.pubname and t.schemaname = n.nspname and t.tablename = c.relname))
  ) as publications,
  (select t.tgenabled::text from pg_catalog.pg_trigger t where t.tgrelid = c.oid and t.tgname = 'outflow_wake') as wake
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.oid = $1::oid
