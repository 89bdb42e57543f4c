select 'alter table ' || tgrelid::regclass || ' enable always trigger outflow_wake;'
from pg_catalog.pg_trigger
where tgname = 'outflow_wake'
  and tgenabled = 'D'
  and tgrelid in (select to_regclass(name) from unnest($1::text[]) as name)
