-- Events that consumer groups have handled, one row per group and event.
--
-- Asks first: `create … if not exists` wants the right to create, or the table's owner, even if there is nothing to create.
-- The index is for the retention. A BRIN index reads well at first and decays: once deleted rows have made room, new rows
-- land on old pages, every range of pages has old and new times in it, and each look reads the whole table.
do $outflow$ begin
  if to_regclass({literal}) is null then
    create table {table} (
      consumer_group text not null,
      event_id uuid not null,
      handled_at timestamptz not null default now(),
      primary key (consumer_group, event_id)
    );
    create index {index} on {table} (consumer_group, handled_at);
  end if;
end $outflow$;
