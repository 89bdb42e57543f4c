-- Whether any session of this database holds the lock.
select exists (
  select from pg_locks
  where locktype = 'advisory'
    and granted
    and mode = 'ExclusiveLock'
    and database = (select oid from pg_database where datname = current_database())
    and classid = $1::integer::oid
    and objid = $2::integer::oid
    and objsubid = 2
)
