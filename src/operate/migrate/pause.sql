
-- Version 5: what people have asked the relay not to deliver for now (`outflow pause`). One row a paused outbox, and one a
-- paused stream. A row whose `until` is over counts for nothing. Whoever works with outflow.outbox reads it.
do $pause$
declare
  role name;
begin
  if to_regclass('outflow.pause') is null then
    create table outflow.pause (
      -- Not a foreign key: a pause must never wait for a recovery, which locks the row of the outbox.
      relation regclass not null,
      -- Empty: the whole outbox. No stream has an empty name.
      stream text not null default '',
      why text not null check (btrim(why) <> '' and length(why) <= 500),
      since timestamptz not null default clock_timestamp() check (since between '2000-01-01Z' and '9000-01-01Z'),
      -- Null: until somebody resumes it.
      until timestamptz check (until between '2000-01-01Z' and '9000-01-01Z'),
      -- Who says so: the program. The next two: Postgres.
      os_user text not null,
      host text not null,
      role text not null default session_user,
      client_address inet default inet_client_addr(),
      primary key (relation, stream)
    );
    for role in
      select distinct grantee::regrole::text
      from pg_catalog.pg_class, pg_catalog.aclexplode(relacl)
      where pg_class.oid = 'outflow.outbox'::regclass and privilege_type = 'UPDATE' and grantee <> relowner and grantee <> 0
    loop
      execute format('grant select on outflow.pause to %s', role);
    end loop;
  end if;
  -- Of tables that were dropped.
  delete from outflow.pause as known
  where not exists (select from pg_catalog.pg_class where oid = known.relation::oid);
end
$pause$;
insert into outflow.migration (version) values (5) on conflict do nothing;
