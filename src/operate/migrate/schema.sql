-- Outflow's own schema, version 8. Everything is created only where it is missing, so that it can be run again and by
-- several replicas at once; nothing is ever dropped or rewritten.
create schema if not exists outflow;

create table if not exists outflow.migration (
  version integer primary key,
  applied_at timestamptz not null default now()
);

-- One row a drained table. regclass, not a name: a rename keeps it, and a dump restores it.
create table if not exists outflow.outbox (
  relation regclass primary key,
  name text not null unique,
  -- Names the journal in Redis; random, so that two environments on one Redis cannot meet.
  journal uuid not null default gen_random_uuid(),
  -- The share-out of slots in force. A claim of another generation takes nothing.
  generation bigint not null default 0,
  -- The member that owns each of the 64 slots in this generation.
  slots integer[] not null default '{}',
  -- How its members read the table and where they append: they must agree.
  mapping text not null default '',
  registered_at timestamptz not null default now()
);

-- One row for each start of a relay: its number, which the journal's records carry.
create table if not exists outflow.member (
  number integer generated always as identity primary key,
  relation regclass not null references outflow.outbox (relation) on delete cascade,
  host text not null,
  pid integer not null,
  version text not null,
  mapping text not null,
  started_at timestamptz not null default now()
);

-- The first relays had no slots: each outbox had one relay. What they inserted into outflow.member says nothing of a mapping.
do $slots$
begin
  if not exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'outflow.outbox'::regclass and attname = 'slots' and not attisdropped
  ) then
    alter table outflow.outbox
      add column if not exists slots integer[] not null default '{}',
      add column if not exists mapping text not null default '';
    alter table outflow.member add column if not exists mapping text not null default '';
  end if;
end
$slots$;

-- Events that can never be appended, moved here in the transaction that takes them out of the outbox.
create table if not exists outflow.dead_letter (
  id bigint generated always as identity primary key,
  outbox text not null,
  "row" text not null,
  event_id text not null,
  key text,
  type text not null,
  time text,
  payload bytea not null,
  headers text,
  stream text,
  reason text not null,
  attempts integer not null default 1,
  died_at timestamptz not null default now()
);
-- Version 2: the columns of the stream template, so that a retry can restore them. Not `add column if not exists`, which
-- locks the table against everybody even if there is nothing to add.
do $route$
begin
  if not exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'outflow.dead_letter'::regclass and attname = 'route' and not attisdropped
  ) then
    alter table outflow.dead_letter add column if not exists route jsonb;
  end if;
end
$route$;
-- Version 3: what a member says of itself (events a second, parked streams), for `outflow status`.
do $report$
begin
  if not exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'outflow.member'::regclass and attname = 'report' and not attisdropped
  ) then
    alter table outflow.member add column if not exists report jsonb;
  end if;
end
$report$;
-- Version 4: what a dead letter needs to be put back as it was.
do $letters$
begin
  if not exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'outflow.dead_letter'::regclass and attname = 'missing' and not attisdropped
  ) then
    alter table outflow.dead_letter
      -- The reason in words: the server's, if it said anything.
      add column if not exists detail text,
      -- Hexadecimal digits of what is not text: key, type, headers, and in `route` its columns.
      add column if not exists bytes jsonb,
      -- Payload and headers that were jsonb and were moved here without being printed.
      add column if not exists documents jsonb,
      -- The fields that could not be kept, or had no value.
      add column if not exists missing text[];
  end if;
end
$letters$;
create index if not exists dead_letter_outbox_died_at on outflow.dead_letter (outbox, died_at);
-- Version 4: the last batch that Redis has acknowledged to each member, so that a loss in Redis is noticed although the
-- member was down too. By the journal: what another one acknowledged says nothing of this one. Whoever works with
-- outflow.outbox works with it.
do $witness$
declare
  role name;
begin
  if to_regclass('outflow.witness') is null then
    create table outflow.witness (
      journal uuid not null,
      generation bigint not null,
      -- 0: no member, but a loss that was told when this generation began.
      member integer not null,
      batch bigint not null,
      primary key (journal, generation, member)
    );
    for role in
      select distinct grantee::regrole::text
      from pg_catalog.pg_class, pg_catalog.aclexplode(relacl)
      where pg_class.oid = 'outflow.outbox'::regclass and privilege_type = 'UPDATE' and grantee <> relowner and grantee <> 0
    loop
      execute format('grant select, insert, update, delete on outflow.witness to %s', role);
    end loop;
  end if;
end
$witness$;
-- Version 4: rows that were appended, but that Postgres does not let go of: see src/relay/outbox/unsettled.rs.
do $unsettled$
begin
  if not exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'outflow.outbox'::regclass and attname = 'unsettled' and not attisdropped
  ) then
    alter table outflow.outbox add column if not exists unsettled jsonb not null default '[]';
  end if;
end
$unsettled$;

-- Wakes a sleeping relay, and costs next to nothing while one is awake. NOTIFY takes a lock of the whole server at
-- commit (measured at 16 clients: 24,700 inserts/s without a trigger, 6,500 with an unconditional NOTIFY, 23,800 with
-- this). A relay holds the lock exclusively only while it sleeps; getting it shared therefore means that one is awake.
create or replace function outflow.wake() returns trigger language plpgsql as $wake$
begin
  if not pg_try_advisory_xact_lock_shared({class_wake}, tg_relid::oid::integer) then
    perform pg_notify('outflow_' || tg_relid::oid::text, '');
  end if;
  return null;
end
$wake$;

-- Version 4: the same, and the transaction has its number before any default of the insert is evaluated. So an id that the
-- column draws is drawn after the number, which the order of events rests on (src/relay/outbox/cursor.rs). Functions with names
-- of their own: a trigger that calls them is known to do so. Change what they do, and they need new names.
create or replace function outflow.number_and_wake() returns trigger language plpgsql as $wake$
begin
  if pg_catalog.pg_current_xact_id() is null
    or not pg_catalog.pg_try_advisory_xact_lock_shared({class_wake}, tg_relid::oid::integer)
  then
    perform pg_catalog.pg_notify('outflow_' || tg_relid::oid::text, '');
  end if;
  return null;
end
$wake$;
-- For an outbox with `notify = false`: it wakes nobody, so that writers may use PREPARE TRANSACTION.
create or replace function outflow.number() returns trigger language plpgsql as $number$
begin
  if pg_catalog.pg_current_xact_id() is null then
    raise exception 'a transaction without a number';
  end if;
  return null;
end
$number$;

-- Version 4: who retried or discarded dead letters, when, how many, and by which filter. Nothing removes rows from it.
create table if not exists outflow.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  action text not null,
  outbox text not null,
  letters bigint not null,
  filter jsonb not null,
  -- Who says so: the program. The next two: Postgres.
  os_user text not null,
  host text not null,
  role text not null default session_user,
  client_address inet default inet_client_addr()
);

insert into outflow.migration (version) values (1), (2), (3), (4) on conflict do nothing;
