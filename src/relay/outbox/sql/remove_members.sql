-- Members that are gone leave no row behind. Their locks are looked at here and now, not in a list that was made before:
-- a member that has joined since holds its lock by the time its row can be seen.
delete from outflow.member m
where m.relation = $1::oid and not exists (
  select from pg_catalog.pg_locks l
  where l.locktype = 'advisory' and l.granted and l.objsubid = 2
    and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
    and l.classid = $2::integer::oid and l.objid = m.number::oid
)
