
-- Version 6: kept outboxes (`settle = "keep"`). The last position that Redis has confirmed to each member, copied about once
-- a second: for the day that Redis comes back without it, for `outflow status`, and for the removal of old rows. Whoever
-- works with outflow.outbox works with it.
do $position$
declare
  role name;
begin
  if to_regclass('outflow.position') is null then
    create table outflow.position (
      -- Not a foreign key: a copy must never wait for a recovery, which locks the row of the outbox.
      relation regclass not null,
      generation bigint not null,
      member integer not null,
      -- The batch that the position is behind.
      batch bigint not null,
      -- What the member has read: one line for each piece.
      pieces text not null,
      copied_at timestamptz not null default clock_timestamp(),
      -- In which Postgres it was written; and, if this one was restored or has failed over, which one it was before and
      -- which transactions the two share. A restored Redis may come back with a position of the other one.
      history text,
      primary key (relation, generation, member)
    );
    for role in
      select distinct grantee::regrole::text
      from pg_catalog.pg_class, pg_catalog.aclexplode(relacl)
      where pg_class.oid = 'outflow.outbox'::regclass and privilege_type = 'UPDATE' and grantee <> relowner and grantee <> 0
    loop
      execute format('grant select, insert, update, delete on outflow.position to %s', role);
    end loop;
  elsif not exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'outflow.position'::regclass and attname = 'history' and not attisdropped
  ) then
    -- Made before 0.1.0 was released.
    alter table outflow.position add column history text;
  end if;
  -- Of tables that were dropped.
  delete from outflow.position as known
  where not exists (select from pg_catalog.pg_class where oid = known.relation::oid);
end
$position$;
-- Version 6: a dead letter of a kept outbox stands for a row that is still there, so that the row is not sent when events are
-- sent again.
do $kept$
begin
  if not exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'outflow.dead_letter'::regclass and attname = 'kept' and not attisdropped
  ) then
    alter table outflow.dead_letter
      -- The order value of the row. Null: the outbox deletes its rows.
      add column if not exists kept bigint,
      -- The transaction that inserted the row.
      add column if not exists xid text,
      -- '<generation>:<member>:<batch>' until it is known that this batch was appended; then null.
      add column if not exists pending text,
      -- When it was retried or discarded.
      add column if not exists retired_at timestamptz;
    create unique index if not exists dead_letter_kept on outflow.dead_letter (outbox, kept, xid) where kept is not null;
  end if;
end
$kept$;
insert into outflow.migration (version) values (6) on conflict do nothing;
