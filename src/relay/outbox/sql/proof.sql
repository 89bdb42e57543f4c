-- The proof that transactions draw their ids after they have their number, and ever higher ones (see cursor.rs): the
-- sequence that they come from, or no row if there is no proof. Runs when token.sql yields another token than before.
select s.seqrelid as sequence
from pg_catalog.pg_class c
-- Nobody brings ids along,
join pg_catalog.pg_attribute a
  on a.attrelid = c.oid and a.attname = {order} and a.attidentity = 'a' and not a.attisdropped
join pg_catalog.pg_depend d
  on d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = c.oid and d.refobjsubid = a.attnum
  and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype = 'i'
-- they only go up, no session hoards them,
join pg_catalog.pg_sequence s
  on s.seqrelid = d.objid and s.seqincrement > 0 and s.seqcache = 1 and not s.seqcycle
join pg_catalog.pg_class q on q.oid = s.seqrelid
-- and every insert takes the number first, also those of replication roles.
join pg_catalog.pg_trigger t
  on t.tgrelid = c.oid and t.tgname = 'outflow_wake' and t.tgenabled = 'A' and t.tgtype & 7 = 6 and t.tgqual is null
  and t.tgfoid in ('outflow.number_and_wake()'::pg_catalog.regprocedure, 'outflow.number()'::pg_catalog.regprocedure)
where c.oid = {oid}::pg_catalog.oid
  -- Rows come into this table by its own inserts only.
  and c.relkind = 'r' and not c.relhassubclass and not c.relispartition
  and not exists (select from pg_catalog.pg_subscription_rel where srrelid = c.oid)
  -- A row trigger before the insert may put in any id.
  and not exists (
    select from pg_catalog.pg_trigger r where r.tgrelid = c.oid and r.tgtype & 7 = 7 and r.tgenabled <> 'D'
  )
  and pg_catalog.has_sequence_privilege(s.seqrelid, 'select')
