
-- Version 8: which older programs may work with a schema. A program refuses a newer one that does not name it, and everybody
-- who works with outflow.outbox may read that.
do $compatible$
declare
  role name;
begin
  if not exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'outflow.migration'::regclass and attname = 'oldest' and not attisdropped
  ) then
    -- Programs that know at least this version may work with it. Null: only its own.
    alter table outflow.migration add column oldest integer;
    for role in
      select distinct grantee::regrole::text
      from pg_catalog.pg_class, pg_catalog.aclexplode(relacl)
      where pg_class.oid = 'outflow.outbox'::regclass and privilege_type = 'UPDATE' and grantee <> relowner and grantee <> 0
    loop
      execute format('grant select on outflow.migration to %s', role);
    end loop;
  end if;
end
$compatible$;
insert into outflow.migration (version, oldest) values (8, {oldest}) on conflict do nothing;
