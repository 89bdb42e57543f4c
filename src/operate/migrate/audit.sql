
-- Version 7: from where something was done, and who was logged in there. The console acts for people who share the user of
-- the operating system and the role.
do $audit$
begin
  if not exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'outflow.audit'::regclass and attname = 'via' and not attisdropped
  ) then
    alter table outflow.audit
      -- 'command line' or 'console'.
      add column if not exists via text not null default 'command line',
      -- The name of the token, or the user that a proxy named. Null from the command line.
      add column if not exists operator text;
  end if;
end
$audit$;
insert into outflow.migration (version) values (7) on conflict do nothing;
