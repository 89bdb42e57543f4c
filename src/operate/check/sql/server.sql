-- What the relay relies on, and what a person would want to know.
select
  current_setting('server_version') as version,
  current_setting('fsync')::boolean as fsync,
  current_setting('max_prepared_transactions')::integer as prepared_transactions,
  current_user::text as role,
  extract(epoch from clock_timestamp())::float8 as epoch
