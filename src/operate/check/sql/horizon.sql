-- Who keeps Postgres from removing the rows that the relay deletes: each claim then walks an ever longer way past them.
select * from (
  select
    'session ' || pid as holder,
    concat_ws(', ', usename, nullif(application_name, ''), state, 'since ' || date_trunc('second', xact_start)) as more,
    'select pg_terminate_backend(' || pid || ');' as remedy,
    age(backend_xmin) as transactions,
    now() - xact_start > interval '1 minute' as is_old
  from pg_catalog.pg_stat_activity
  where backend_xmin is not null and pid <> pg_backend_pid() and datname = current_database()
  union all
  select 'prepared transaction ' || quote_literal(gid), 'of ' || owner || ', since ' || date_trunc('second', prepared),
    'rollback prepared ' || quote_literal(gid) || ';', age(transaction), now() - prepared > interval '1 minute'
  from pg_catalog.pg_prepared_xacts where database = current_database()
  union all
  select 'replication slot ' || quote_literal(slot_name), case when active then 'active' else 'nobody reads it' end,
    'select pg_drop_replication_slot(' || quote_literal(slot_name) || ');', age(xmin), not active
  from pg_catalog.pg_replication_slots where xmin is not null
) as held
where is_old or transactions > 100000
order by transactions desc
